// A page per model: its card, how good it is, how to make it again.

function modelsNamed() {
  return [...new Set([...page.content.models.map((model) => model.model), ...page.content.boards.map((board) => board.model)])];
}

function drawModels() {
  const names = modelsNamed();
  const chosen = names.includes(page.state.at) ? page.state.at : names[0];
  return [el("h2", {}, "Models"), switcher(names, chosen, "models"), modelPage(chosen)];
}

function switcher(names, chosen, view) {
  const link = (name) =>
    el("a", { href: addressOf({ ...page.state, view, at: name }), "aria-current": name === chosen ? "true" : null }, name);
  return names.length > 12
    ? el("label", {}, "Show ", el("select", { id: `${view}-at`, change: (event) => go({ at: event.target.value }, true) },
        names.map((name) => el("option", { value: name, selected: name === chosen }, name))))
    : el("nav", { "aria-label": view }, el("ul", {}, names.map((name) => el("li", {}, link(name)))));
}

function modelPage(name) {
  const subjects = page.content.models.filter((model) => model.model === name);
  const card = subjects[0]?.card ?? {};
  return [
    el("h3", {}, name),
    cardFacts(card, [["parameters", parameters(subjects[0]?.params)], ["sees, provably", card.sees], ["weights", card.trained === false ? "fixed, not trained" : ""]]),
    subjects.map(subjectPart),
    subjects.length ? null : el("p", {}, "Its predictions are not in this folder."),
    el("h3", {}, "Make it again"),
    el("p", { class: "footnote" }, "On what it ran: ", el("a", { href: addressOf({ ...page.state, view: "about", at: "" }) }, "environment"), "."),
    page.content.boards.filter((board) => board.model === name).map((board) => el("pre", {}, board.command)),
  ];
}

function parameters(params) {
  return Object.entries(params || {}).map(([name, value]) => `${name}=${value}`).join(", ");
}

function cardFacts(card, more) {
  const list = (value) => (Array.isArray(value) ? value.join(", ") : value);
  return facts([
    ["what it is", card.summary], ["paper", card.paper], ["citation", card.citation], ["licence", card.licence],
    ["version", card.version], ["family", card.family], ["needs", list(card.needs)], ...more,
  ]);
}

function subjectPart(model) {
  const board = page.content.boards.find((one) => ["task", "fold", "model", "precision"].every((name) => one[name] === model[name]));
  return [
    el("h3", {}, `${model.model} on ${model.task}, fold ${model.fold}, ${model.precision}`),
    board ? el("p", { class: board.poor ? "flag" : "accuracy" }, board.accuracy) : null,
    facts([["images", model.images], ["patients", model.patients], ["weights", el("code", {}, model.weights)],
      ["predictions", el("code", {}, model.key)], ["training", parameters(model.training)]]),
    model.confusion ? el("div", { class: "figures" }, confusionFigure(model), rocFigure(model), reliabilityFigure(model)) : null,
  ];
}

function confusionFigure(model) {
  const cell = (row, column) => {
    const images = model.confusion[row][column];
    const all = model.confusion[row].reduce((sum, value) => sum + value, 0);
    const share = all ? images / all : 0;
    return el("td", { class: `shade-${Math.round(SHADES * share)}${row === column ? " right" : ""}` }, String(images), el("small", {}, all ? `${Math.round(100 * share)} %` : ""));
  };
  return figure(matrix(model.classes, model.classes, cell, "Confusion"), "Confusion",
    "True class by row, predicted class by column; share of the row.");
}

function rocFigure(model) {
  const drawing = chart(
    { width: 380, height: 340, label: "ROC", x: { domain: [0, 1], label: "false alarms" }, y: { domain: [0, 1], label: "hits" } },
    (x, y) => [
      svg("path", { class: "grid", d: path([[x(0), y(0)], [x(1), y(1)]]) }),
      model.roc.map((found, at) => found && [
        svg("path", { class: `curve ${marked(at)}`, d: path(found.points.map(([alarms, hits]) => [x(alarms), y(hits)])) }),
        svg("text", { class: `key ${marked(at)}`, x: x(1) - 4, y: y(0) - 8 - 16 * at, "text-anchor": "end" }, `${clipped(model.classes[at], 24)} ${number(found.area)}`),
      ]),
    ],
  );
  return figure(drawing, "ROC", "Each class against the rest, with the area under its curve.");
}

function reliabilityFigure(model) {
  const drawing = chart(
    { width: 380, height: 340, label: "Reliability", x: { domain: [0, 1], label: "how sure" }, y: { domain: [0, 1], label: "how often right" } },
    (x, y) => [
      svg("path", { class: "grid", d: path([[x(0), y(0)], [x(1), y(1)]]) }),
      svg("path", { class: "curve mark-0", d: path(model.reliability.map((bin) => [x(bin.sure), y(bin.right)])) }),
      model.reliability.map((bin) => svg("circle", { class: "dot mark-0", cx: x(bin.sure), cy: y(bin.right), r: 3 + 7 * Math.sqrt(bin.images / model.images) }, svg("title", {}, `${bin.images} images`))),
    ],
  );
  return figure(drawing, "Reliability", `Points as large as the share of images. Expected calibration error ${number(model.calibration_error)}.`);
}
