// What stands behind a number, what a column means: the panel and the tooltips.

function commandOf(board, row, column) {
  const { about } = board.rows[row];
  const reference = (kind, label) => (kind[label] ? kind[label].exact : label);
  const models = Object.fromEntries(page.content.models.map((model) => [model.model, model]));
  const words = [
    "xaibench", "run", "--tasks", reference(page.content.tasks, board.task), "--models", reference(models, board.model),
    "--explainers", about.exact, "--metrics", board.columns[column].about.exact,
    "--target", board.target, "--precision", board.precision,
  ];
  if (about.label.endsWith(" [absolute]")) words.push("--sign", "absolute");
  if (board.seed) words.push("--seed", String(board.seed));
  if (board.count < board.total) words.push("--limit", String(board.count));
  return [...words, "--no-references", "--no-audit", "--out", "again"].map(quoted).join(" ");
}

function facts(pairs) {
  return el("dl", {}, pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined)
    .map(([name, value]) => [el("dt", {}, name), el("dd", {}, typeof value === "object" ? value : String(value))]));
}

function openPanel() {
  const board = boardAt();
  const panel = byId("panel");
  const { cell, view } = page.state;
  const row = board.rows.findIndex(({ about }) => cell.startsWith(`${about.label}~`) && columnNamed(board, cell.slice(about.label.length + 1)) >= 0);
  const column = row < 0 ? -1 : columnNamed(board, cell.slice(board.rows[row].about.label.length + 1));
  if (row < 0 || view !== "board" || isOverall()) {
    if (panel.open) panel.close();
    return;
  }
  panel.replaceChildren(...panelContent(board, row, column).flat().filter(Boolean));
  if (!panel.open) panel.showModal();
}

// By lesion size and by the model's answer, where the metric looks for a lesion.
function strataOf(board, explainer, metric) {
  const line = board.sizes.find((plot) => plot.metric === metric)?.lines.find((one) => one.explainer === explainer);
  return (line?.strata || []).map(([name, value, low, high, images]) => [name, `${number(value)} ${interval(low, high)} on ${images} images`]);
}

function columnNamed(board, label) {
  return board.columns.findIndex(({ about }) => about.label === label);
}

function panelContent(board, row, column) {
  const cell = cellOf(board, row, column);
  const { about } = board.rows[row];
  const metric = board.columns[column].about;
  const { floor, ceiling } = limitsOf(board, column);
  const command = commandOf(board, row, column);
  // A shortened key names no cell to the program.
  const check = cell.mean === null || !page.content.whole_keys ? null : ["xaibench", "verify", page.content.folder, "--cell", cell.key].map(quoted).join(" ");
  return [
    el("h2", { id: "panel-title", tabindex: -1, autofocus: true }, `${about.label}: ${metric.label}`),
    el("p", {}, metric.card.summary || ""),
    facts([
      ["value", cell.mean === null ? cell.status : number(cell.mean)],
      ["95 % interval", interval(cell.low, cell.high) || (cell.mean === null ? "" : "none: too few patients")],
      ["n", cell.mean === null ? "" : `${cell.images} images of ${cell.patients} patients`],
      ["failed maps", cell.failed || ""], ["undefined for", cell.undefined || ""], ["seen", cell.partial],
      ...strataOf(board, about.label, metric.label),
      ["best floor", floor === null ? "" : number(floor)], ["best ceiling", ceiling === null ? "" : number(ceiling)],
      ["better", metric.direction], ["range", metric.limits],
      ["audit", [board.columns[column].verdict, board.columns[column].reason].filter(Boolean).join(": ") || "not audited"],
      ["metric version", metric.card.version], ["explainer version", about.card.version],
      ["board", `${board.title}, ${board.subject}`],
      ["cell", cell.key ? el("code", {}, cell.key) : "none: never run"],
      ["its files", cell.key ? el("code", {}, `cells/${cell.key.slice(0, 2)}/${cell.key}${page.content.whole_keys ? "" : "*"}`) : ""],
    ]),
    check ? [el("h3", {}, "Check it against the stored maps and the model"), el("pre", { id: "check" }, check)] : null,
    el("h3", {}, "Compute it again"),
    el("pre", { id: "command" }, command),
    el("p", { class: "buttons" },
      el("button", { type: "button", click: () => copy(command, "command") }, "Copy the command"),
      el("button", { type: "button", id: "close", click: () => go({ cell: "" }, true) }, "Close")),
  ];
}

// ---------------------------------------------------------------------------------------------------------- tooltips

function tipContent(what) {
  const board = boardAt();
  if (what === "place") {
    return ["Place by the weighted mean, over families of metrics, of mean ranks; in brackets where 95 % of the bootstrap " +
      "replicates place it. Explainers of one group cannot be told apart."];
  }
  if (what === "ok") return ["Share of the maps that did not fail: not flat, finite, of the right shape. The worst over the metrics."];
  const column = Number(what.split(":")[1]);
  const { about, greyed, reason } = board.columns[column];
  const { floor, ceiling } = limitsOf(board, column);
  return [
    el("b", {}, about.label), ` ${about.card.summary || ""}. `,
    `${about.direction}; ${about.limits}${about.card.unit ? ` ${about.card.unit}` : ""}. `,
    floor === null ? "" : `Best floor ${number(floor)}. `,
    ceiling === null ? "" : `Best ceiling ${number(ceiling)}. `,
    greyed ? el("span", { class: "note" }, `Greyed, fails the audit: ${reason}`) : "",
    about.descriptive ? "Descriptive: no number makes a better explanation." : "",
  ];
}

function showTip(head) {
  const tip = byId("tip");
  tip.replaceChildren(...tipContent(head.dataset.tip));
  tip.hidden = false;
  head.querySelector("button")?.setAttribute("aria-describedby", "tip");
  const place = head.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(place.left, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${Math.min(place.bottom + 6, innerHeight - tip.offsetHeight - 8)}px`;
}

function hideTip() {
  byId("tip").hidden = true;
}

function listen() {
  document.addEventListener("click", (event) => {
    const cell = event.target.closest?.("[data-cell]");
    if (cell) go({ cell: cell.dataset.cell }, true);
  });
  for (const name of ["mouseover", "focusin"]) {
    document.addEventListener(name, (event) => {
      const head = event.target.closest?.("[data-tip]");
      if (head) showTip(head);
      else hideTip();
    });
  }
  document.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
  byId("panel").addEventListener("close", () => page.state.cell && go({ cell: "" }));
  byId("panel").addEventListener("click", (event) => event.target === byId("panel") && byId("panel").close());
}
