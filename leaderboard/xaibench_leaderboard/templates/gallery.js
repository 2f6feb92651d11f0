// Pictures: what each explainer shows on the same image, right and wrong answers, best and worst; and several runs.

function drawGallery() {
  const board = boardAt();
  const found = page.content.gallery[String(board.number)];
  const head = [el("h2", {}, `Gallery: ${board.title}`), el("p", { class: "subject" }, board.subject)];
  if (!found || found.note) {
    return [...head, el("p", { class: "flag" }, found?.note || "No pictures were made for this board: `xaibench leaderboard --results FOLDER --gallery` makes them, where the images are at hand.")];
  }
  return [
    ...head,
    el("p", {}, `Outlined: where the lesions are, as the dataset says. Each map is stretched by itself, as it is for the metrics. Red frame: the model is wrong. Licence of the images: ${found.licence || "not stated"}.`),
    found.citation ? el("p", { class: "footnote" }, found.citation) : null,
    found.private ? el("p", { class: "flag" }, "These pictures are for your own eyes: the licence does not plainly let them be passed on. Remove the folder leaderboard-gallery before you send this folder to anyone.") : null,
    galleryControls(),
    found.cases.filter(isShown).map((one) => caseFigure(one, found)),
    found.strips?.length ? [el("h3", {}, "The same image, other seeds"), el("p", { class: "footnote" }, found.strips_note)] : null,
    (found.strips || []).map((strip) => stripFigure(strip, found)),
  ];
}

const KINDS = { "": "all", wrong: "wrong answers", best: "best localised", worst: "worst localised" };

function galleryControls() {
  return el("div", { class: "controls" },
    el("label", {}, "Show ", el("select", { id: "kinds", change: (event) => go({ show: event.target.value }, true) },
      Object.entries(KINDS).map(([value, text]) => el("option", { value, selected: value === page.state.show }, text)))));
}

function isShown(one) {
  const { show } = page.state;
  return !show || (show === "wrong" ? one.wrong : one.why.includes(show));
}

function caseFigure(one, found) {
  return el(
    "div",
    { class: one.wrong ? "case wrong" : "case", "data-case": one.id },
    el("p", {}, el("b", {}, one.id), ` true: ${one.truth}, predicted: ${one.said} `,
      one.wrong ? el("span", { class: "wrong-note" }, "wrong") : "right", one.why.length ? ` · ${one.why.join(", ")}` : ""),
    el("div", { class: "strip" }, one.tiles.map((tile, at) => tileFigure(one, tile, at, found))),
  );
}

function tileFigure(one, tile, at, found) {
  const value = tile.value === null || tile.value === undefined ? "" : ` ${found.metric} ${number(tile.value)}`;
  const image = el("img", { src: one.sprite, loading: "lazy", width: found.tile, height: found.tile, alt: `${tile.name} on ${one.id}${value}` });
  image.style.objectPosition = `${-at * found.tile}px 0`;
  return el("figure", { class: "tile" }, image, el("figcaption", {}, tile.name, value ? el("small", {}, value) : ""));
}

function stripFigure(strip, found) {
  return el("div", { class: "case", "data-strip": strip.explainer },
    el("p", {}, el("b", {}, strip.explainer), ` on ${strip.id}`),
    el("div", { class: "strip" }, strip.tiles.map((tile, at) => tileFigure(strip, tile, at, found))));
}
