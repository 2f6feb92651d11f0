// A page per explainer, and the scorecard's numbers.

function drawExplainers() {
  const names = page.content.explainers.map((about) => about.label).sort((one, other) => one.localeCompare(other));
  const chosen = names.includes(page.state.at) ? page.state.at : names[0];
  return [el("h2", {}, "Explainers"), switcher(names, chosen, "explainers"), explainerPage(chosen)];
}

function explainerPage(name) {
  const about = page.content.explainers.find((one) => one.label === name);
  const boards = page.content.boards.filter((board) => board.rows.some((row) => row.about === about));
  const { card } = about;
  return [
    el("h3", {}, name),
    about.lesson ? el("p", { class: "flag" }, `A lesson row: ${about.lesson}. Whatever does not clearly beat it has explained nothing.`) : null,
    cardFacts(card, [
      ["kind", about.reference ? `${about.kind}: a reference, never ranked` : "method"], ["parameters", parameters(about.params)],
      ["exactly", about.exact === name ? "" : el("code", {}, about.exact)], ["from", about.distribution],
      ["random", card.stochastic ? "yes: seeds decide its maps" : "no"], ["sign", card.sign],
      ["depends on the class", card.class_sensitive === false ? "no" : "yes"],
    ]),
    el("p", { class: "footnote" }, "On what it ran: ", el("a", { href: addressOf({ ...page.state, view: "about", at: "" }) }, "environment"), "."),
    boards.map((board) => explainerOn(board, board.rows.findIndex((row) => row.about === about))),
  ];
}

function explainerOn(board, row) {
  const columns = board.columns.map((_, at) => at);
  const standing = placesOf(board).get(board.rows[row].about.label);
  const command = ["xaibench", "run", "--tasks", board.task, "--models", board.model, "--explainers", board.rows[row].about.exact,
    "--target", board.target, "--precision", board.precision, "--out", "again"].map(quoted).join(" ");
  const link = (column) => addressOf({ ...DEFAULTS, theme: page.state.theme, view: "board", board: board.id, cell: cellAddress(board, row, column) });
  return el(
    "details",
    { "data-keep": `on-${board.number}`, open: board === boardAt() },
    el("summary", {}, `${board.title}, ${board.subject}${standing ? `: place ${standing.place}` : ""}`),
    board.poor ? el("p", { class: "flag" }, "The model is poor: explanations of it say little.") : null,
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `${board.rows[row].about.label} on ${board.title}` },
      el("table", {},
        el("thead", {}, el("tr", {}, ["metric", "value", "95 % interval", "best floor", "best ceiling", "images"].map((text) => el("th", { scope: "col" }, text)))),
        el("tbody", {}, columns.map((column) => metricLine(board, row, column, link(column)))))),
    el("p", { class: "footnote" }, "Make it again:"),
    el("pre", {}, command),
  );
}

function metricLine(board, row, column, address) {
  const cell = cellOf(board, row, column);
  const { floor, ceiling } = limitsOf(board, column);
  const show = (value) => el("td", {}, value === null ? "" : number(value));
  return el("tr", { class: board.columns[column].greyed ? "greyed" : null },
    el("th", { scope: "row" }, el("a", { href: address }, board.columns[column].about.label)),
    cell.mean === null ? el("td", { class: "status" }, cell.status) : show(cell.mean),
    el("td", {}, interval(cell.low, cell.high)), show(floor), show(ceiling), el("td", {}, cell.mean === null ? "" : String(cell.images)));
}

// ---------------------------------------------------------------------------------------------------------- scorecard

const CRITERIA = [["Consistency", ["stability", "robustness"]], ["Plausibility", ["localisation"]], ["Fidelity", ["faithfulness", "sanity"]]];

// Per explainer and criterion the mean place between the best floor (0) and the best ceiling (1).
function drawScores() {
  const board = boardAt();
  const methods = board.rows.map((_, at) => at).filter((at) => !board.rows[at].about.reference);
  const columnsOf = (families) => board.columns.map((_, at) => at)
    .filter((at) => families.includes(board.columns[at].about.card.family) && !board.columns[at].about.card.region);
  const score = (row, families) => {
    const judged = columnsOf(families).filter((at) => board.columns[at].judges);
    const shares = judged.map((column) => share(board, row, column));
    if (judged.length) return shares.every((one) => one !== null) ? number(mean(shares)) : null;
    return columnsOf(families).filter((at) => board.columns[at].about.descriptive && meanAt(board, row, at) !== null)
      .map((at) => el("small", {}, `${board.columns[at].about.label} ${number(meanAt(board, row, at))}`));
  };
  return [
    el("h3", {}, `The explainers of ${board.title}`),
    el("p", { class: "footnote" }, "Per criterion the mean, over its metrics, of where the score lies between the best floor (0) and the best ceiling (1). ",
      "Below 0: worse than what is free. Small: metrics that describe and do not judge, as measured. Empty: not measured, or not on every metric, or no floor and ceiling to compare with. Usefulness needs readers."),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Scores by criterion" },
      el("table", {},
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "explainer"), CRITERIA.map(([name]) => el("th", { scope: "col" }, name)), el("th", { scope: "col" }, "Usefulness"))),
        el("tbody", {}, methods.map((row) => el("tr", {}, el("th", { scope: "row" }, board.rows[row].about.label),
          CRITERIA.map(([, families]) => el("td", {}, score(row, families) ?? "")), el("td", { class: "status" }, "needs a study with readers")))))),
  ];
}

function share(board, row, column) {
  const value = meanAt(board, row, column);
  const { floor, ceiling } = limitsOf(board, column);
  return value === null || floor === null || ceiling === null || floor === ceiling ? null : (value - floor) / (ceiling - floor);
}
