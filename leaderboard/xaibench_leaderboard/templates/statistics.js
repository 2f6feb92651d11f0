// Who differs from whom, which metrics agree, and the board over all boards.

function pairwiseTable(found) {
  if (!found) return null;
  const names = found.explainers;
  const at = (list, row, column) => list[row][column - row - 1];
  const p = (row, column) => (row < column ? at(found.p, row, column) : at(found.p, column, row));
  const better = (row, column) => (row < column ? at(found.better, row, column) : at(found.worse, column, row));
  const cell = (row, column) => {
    if (row === column) return el("td", {}, "·");
    const clear = p(row, column) < 0.05;
    const title = `${names[row]} beats ${names[column]} in ${brief(100 * better(row, column))} % of ${found.blocks} ${found.unit}; p ${brief(p(row, column))}`;
    return el("td", { class: clear ? "clear" : null, title }, `${clear ? "* " : ""}${brief(100 * better(row, column))} %`);
  };
  return el(
    "details",
    { "data-keep": "pairs", open: names.length <= 12 },
    el("summary", {}, "Pairs"),
    el("p", { class: "footnote" }, `Share of ${found.blocks} ${found.unit} in which the row beats the column. * and bold: the difference is clear `,
      "(Wilcoxon's signed-rank test, adjusted by Holm, p below 0.05)."),
    matrix(names, names, cell, "Pairs of explainers"),
  );
}

function agreementTable(found) {
  if (!found) return null;
  const names = found.metrics;
  const cell = (row, column) => {
    const tau = found.tau[row][column];
    return el("td", { class: row === column || tau === null ? null : `shade-${Math.round(3 * (tau + 1))}` }, tau === null ? "·" : tau.toFixed(2));
  };
  return el(
    "details",
    { "data-keep": "agreement", open: names.length <= 12 },
    el("summary", {}, "Do the metrics agree?"),
    el("p", { class: "footnote" }, `Kendall's tau-b between the orders in which two metrics put ${found.explainers} explainers: 1 the same order, 0 no relation, -1 the reverse.`),
    matrix(names, names, cell, "Agreement of metrics"),
  );
}

function matrix(rows, columns, cell, label) {
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    el("table", { class: "matrix" },
      el("thead", {}, el("tr", {}, el("td", {}), columns.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, rows.map((name, row) => el("tr", {}, el("th", { scope: "row" }, name), columns.map((_, column) => cell(row, column)))))),
  );
}

// ------------------------------------------------------------------------------------------------- over all boards

function drawOverall() {
  const ranking = page.content.overall;
  const weights = weightsOf(ranking);
  const own = isOwn(ranking, weights);
  const standings = placed(ranking, weights);
  const boards = page.content.boards.filter((board) => board.rankingOf);
  const places = new Map(boards.map((board) => [board, placesOf(board)]));
  const head = (text, title) => el("th", { scope: "col", title: title || null }, text);
  const line = (one) =>
    el("tr", { "data-explainer": one.explainer },
      el("th", { scope: "row" }, one.explainer),
      el("td", { class: "place" }, el("b", {}, String(one.place)), el("small", {}, own && one.low !== null ? `[${one.low}, ${one.high}]` : "")),
      el("td", {}, number(one.mean)),
      boards.map((board) => el("td", {}, String(places.get(board).get(one.explainer)?.place ?? "not ranked"))));
  return [
    el("h2", {}, "Over all boards"),
    ranking.notes.map((note) => el("p", { class: "footnote" }, note)),
    el("div", { class: "controls" }, weightControls(ranking)),
    standings === null ? el("p", { class: "flag" }, "Every family has weight 0: nothing is left to rank by.") : null,
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Places over all boards" },
      el("table", { class: "scores" },
        el("thead", {}, el("tr", {}, head("explainer"), head("place"), head("mean rank"), boards.map((board) => head([board.title, board.poor ? el("small", { class: "note" }, "poor model") : null], board.subject)))),
        el("tbody", { class: "methods" }, (standings || []).map(line)))),
    ranking.unranked.map((one) => el("p", { class: "footnote" }, el("b", {}, one.explainer), ` is not ranked: ${one.reason}`)),
  ];
}
