// The table of one board: which rows and columns, in which order, and how a cell looks.

const SHADES = 6;
const UNRANKED = { mean: Infinity, place: null };

// By what it is called, so that an address still holds when boards are added; or by its number.
function boardAt() {
  const { boards } = page.content;
  const { board } = page.state;
  return boards.find((one) => one.id === board) ?? boards[Number(board || 1) - 1] ?? boards[0];
}

function prepare(board, at) {
  board.number = at + 1;
  board.id = ["model", "task", "fold", "target", "precision"].map((name) => board[name]).join("~");
  for (const name of Object.keys(board.cells)) board.cells[name] = unfolded(board.cells[name]);
  board.columns.forEach((column) => (column.about = page.content.metrics[column.metric]));
  board.rows.forEach((row) => (row.about = page.content.explainers[row.explainer]));
  board.rankingOf = page.content.rankings[board.ranking] ?? null;
  board.shades = []; // made for the columns that are looked at
}

function cellAddress(board, row, column) {
  return `${board.rows[row].about.label}~${board.columns[column].about.label}`;
}

function cellOf(board, row, column) {
  const at = row * board.columns.length + column;
  const cell = Object.fromEntries(Object.entries(board.cells).map(([name, list]) => [name, list[at]]));
  return { ...cell, status: page.content.texts[cell.status], partial: page.content.texts[cell.partial] };
}

function meanAt(board, row, column) {
  return board.cells.mean[row * board.columns.length + column];
}

// Per row the colour of a column: by rank among the methods, references left out.
function shadesOf(board, column) {
  const sign = board.columns[column].about.higher ? -1 : 1;
  const known = board.rows
    .map((row, at) => at)
    .filter((at) => !board.rows[at].about.reference && meanAt(board, at, column) !== null);
  const ranks = ranked(known.map((at) => sign * meanAt(board, at, column)));
  const found = [];
  if (new Set(ranks).size < 2) return found; // nobody is better than anybody
  known.forEach((at, index) => (found[at] = Math.round(SHADES * (1 - (ranks[index] - 1) / (known.length - 1)))));
  return found;
}

// The best floor and the best ceiling of a column: what an explainer gets for free, and what can be reached.
function limitsOf(board, column) {
  const best = board.columns[column].about.higher ? Math.max : Math.min;
  const of = (kind) => {
    const rows = board.rows.map((row, at) => at).filter((at) => board.rows[at].about.reference === kind);
    const means = rows.map((at) => meanAt(board, at, column)).filter((value) => value !== null);
    return means.length ? best(...means) : null;
  };
  return { floor: of("floor"), ceiling: of("ceiling") };
}

// ------------------------------------------------------------------------------------------------- what is to be seen

function matches(row) {
  const { q, family } = page.state;
  const text = `${row.about.label} ${row.about.card.family || ""} ${row.about.card.summary || ""}`.toLowerCase();
  return (!family || row.about.card.family === family) && q.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function columnsShown(board) {
  const hidden = new Set(listed(page.state.hide));
  return board.columns.map((_, at) => at).filter((at) => !hidden.has(board.columns[at].about.label));
}

function placesOf(board) {
  const ranking = board.rankingOf;
  if (!ranking) return new Map();
  const weights = weightsOf(ranking);
  const own = isOwn(ranking, weights);
  const found = placed(ranking, weights) || [];
  return new Map(found.map((one) => [one.explainer, own ? one : { ...one, low: null, high: null, tied: null }]));
}

function reasonsOf(board) {
  return new Map((board.rankingOf?.unranked || []).map((one) => [one.explainer, one]));
}

// [what, direction]: a column's label, "explainer", "place" or "ok".
function sortingOf(board) {
  const [, what, direction] = /^(.*):(up|down)$/.exec(page.state.sort) || [null, "", ""];
  const known = ["explainer", "place", "ok", ...board.columns.map((column) => column.about.label)];
  return known.includes(what) ? [what, direction] : [board.rankingOf ? "place" : "explainer", "up"];
}

function sortValue(board, at, what, places) {
  const label = board.rows[at].about.label;
  if (what === "explainer") return label;
  if (what === "place") return places.get(label)?.place ?? null;
  if (what === "ok") return board.rows[at].covered === "-" ? null : Number.parseFloat(board.rows[at].covered);
  return meanAt(board, at, board.columns.findIndex((column) => column.about.label === what));
}

// Rows in order; what has no value stays last, whichever way the rest is sorted; equals by name.
function ordered(board, rows, places) {
  const [what, direction] = sortingOf(board);
  const sign = direction === "up" ? 1 : -1;
  const compare = (one, other) =>
    typeof one === "string" ? one.localeCompare(other) : one - other;
  return rows
    .map((at) => [sortValue(board, at, what, places), board.rows[at].about.label, at])
    .sort(([one, name], [other, second]) => {
      if (one === null || other === null) return (one === null) - (other === null) || name.localeCompare(second);
      return sign * compare(one, other) || name.localeCompare(second);
    })
    .map(([, , at]) => at);
}

function groupsOf(board, places) {
  const all = board.rows.map((_, at) => at);
  const methods = all.filter((at) => !board.rows[at].about.reference && matches(board.rows[at]));
  const isRanked = (at) => !board.rankingOf || places.has(board.rows[at].about.label);
  const references = all.filter((at) => board.rows[at].about.reference);
  const few = (at) => page.state.floors !== "few" || board.rows[at].about.lesson || board.rows[at].about.reference === "ceiling";
  return {
    methods: ordered(board, methods.filter(isRanked), places),
    apart: ordered(board, methods.filter((at) => !isRanked(at)), places),
    references: references.filter(few),
  };
}

// -------------------------------------------------------------------------------------------------------- the table

function drawBoard() {
  const board = boardAt();
  const places = placesOf(board);
  const groups = groupsOf(board, places);
  const columns = columnsShown(board);
  const shown = groups.methods.length + groups.apart.length;
  const methods = board.rows.filter((row) => !row.about.reference).length;
  return [
    el("h2", {}, board.title),
    el("p", { class: "subject" }, board.subject),
    el("p", { class: "accuracy" }, board.accuracy),
    board.flags.map((flag) => el("p", { class: "flag" }, flag)),
    controls(board),
    el("p", { class: "footnote", id: "shown" }, shown === methods ? `${methods} explainers` : `${shown} of ${methods} explainers shown`),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Scores of ${board.title}` }, table(board, groups, columns, places)),
    notes(board),
  ];
}

function table(board, groups, columns, places) {
  const width = columns.length + 3;
  const reasons = reasonsOf(board);
  const lines = (rows, ranked) => rows.map((at) => line(board, at, columns, places, reasons, ranked));
  return el(
    "table",
    { class: "scores" },
    el("caption", { class: "away" }, `${board.title}, ${board.subject}`),
    el("thead", {}, el("tr", {}, heads(board, columns))),
    el("tbody", { class: "methods" }, lines(groups.methods, true)),
    groups.apart.length ? el("tbody", { class: "apart" }, band("Not ranked", width), lines(groups.apart, true)) : null,
    el("tbody", { class: "references" }, band("Floors and ceilings, never ranked", width), lines(groups.references, false)),
  );
}

function band(text, width) {
  return el("tr", { class: "band" }, el("th", { scope: "rowgroup", colspan: width }, el("span", {}, text)));
}

function heads(board, columns) {
  const [what, direction] = sortingOf(board);
  const head = (name, first, attributes, ...content) =>
    el(
      "th",
      { scope: "col", "aria-sort": what === name ? (direction === "up" ? "ascending" : "descending") : null, ...attributes },
      el(
        "button",
        { type: "button", "data-sort": name, click: () => sortBy(name, first) },
        content,
        what === name ? el("span", { class: "arrow", "aria-hidden": "true" }, direction === "up" ? " ▲" : " ▼") : null,
      ),
    );
  return [
    head("explainer", "up", { class: "corner" }, "explainer"),
    head("place", "up", { "data-tip": "place" }, "place"),
    columns.map((at) => {
      const { about, greyed, audited, images } = board.columns[at];
      const small = [about.card.unit, about.card.family, `v${about.card.version ?? "?"}`, `n ${images}`].filter(Boolean);
      return head(
        about.label, about.higher ? "down" : "up", { class: greyed ? "greyed" : null, "data-tip": `metric:${at}` },
        el("span", { class: "name" }, about.label), " ",
        about.arrow ? el("span", { role: "img", "aria-label": about.direction }, about.arrow) : null,
        el("small", {}, small.join(" · ")),
        audited ? el("small", { class: "note" }, audited) : null,
      );
    }),
    head("ok", "down", { "data-tip": "ok" }, "maps ok"),
  ];
}

function sortBy(name, first) {
  const [what, direction] = sortingOf(boardAt());
  const next = what !== name ? first : direction === "up" ? "down" : "up";
  go({ sort: `${name}:${next}` }, true);
  say(`sorted by ${name}, ${next === "up" ? "ascending" : "descending"}`);
  document.querySelector(`[data-sort="${CSS.escape(name)}"]`)?.focus();
}

function line(board, at, columns, places, reasons, ranked) {
  const row = board.rows[at];
  const alone = ranked && emptyReason(board, at);
  return el(
    "tr",
    { class: row.about.lesson ? "lesson" : null, "data-explainer": row.about.label },
    nameCell(row, reasons.get(row.about.label)),
    placeCell(row, places.get(row.about.label)),
    alone
      ? el("td", { class: "status", colspan: columns.length || null }, alone)
      : columns.map((column) => scoreCell(board, at, column)),
    el("td", {}, row.covered),
  );
}

// One reason for a whole row is said once.
function emptyReason(board, at) {
  const statuses = new Set(board.columns.map((_, column) => cellOf(board, at, column).status));
  return statuses.size === 1 && [...statuses][0] ? [...statuses][0] : "";
}

function nameCell(row, unranked) {
  const { about } = row;
  const link = el("a", { href: addressOf({ ...page.state, view: "explainers", at: about.label, cell: "" }) }, about.label);
  return el(
    "th",
    { scope: "row", title: about.card.summary || null },
    link,
    about.reference ? el("small", {}, about.kind) : el("small", {}, about.card.family || ""),
    about.lesson ? el("small", { class: "lesson-note" }, about.lesson) : null,
    unranked ? el("small", { class: "note" }, unranked.gated ? `failed a sanity check: ${unranked.reason}` : unranked.reason) : null,
  );
}

function placeCell(row, standing) {
  if (row.about.reference || !standing) return el("td", { class: "place" }, el("small", {}, row.about.reference ? "reference" : "not ranked"));
  const spread = standing.low === null ? "" : `[${standing.low}, ${standing.high}]`;
  return el(
    "td",
    { class: "place", title: `mean rank ${number(standing.mean)}` },
    el("b", {}, String(standing.place)),
    el("small", {}, spread),
    standing.tied === null ? null : el("small", {}, `group ${standing.tied}`),
  );
}

function scoreCell(board, row, column) {
  const cell = cellOf(board, row, column);
  const { greyed } = board.columns[column];
  const shade = (board.shades[column] ??= board.columns[column].judges ? shadesOf(board, column) : [])[row];
  const classes = [greyed ? "greyed" : "", shade === undefined ? "" : `shade-${shade}`, cell.mean === null ? "status" : ""];
  const address = cellAddress(board, row, column);
  if (cell.mean === null) {
    const why = el("button", { type: "button", class: "cell", "data-cell": address }, cell.status);
    return el("td", { class: classes.join(" ").trim() }, cell.key ? why : cell.status);
  }
  return el(
    "td",
    { class: classes.join(" ").trim() || null },
    el(
      "button",
      { type: "button", class: "cell", "data-cell": address },
      el("b", {}, number(shown(board, column, cell.mean))),
      el("small", {}, intervalShown(board, column, cell)),
      cell.failed ? el("small", { class: "note" }, `${cell.failed} failed`) : null,
      cell.partial ? el("small", { class: "note" }, cell.partial) : null,
    ),
  );
}

// Raw, or as the share of the way from the best floor to the best ceiling.
function shown(board, column, value) {
  if (page.state.scale !== "share" || !board.columns[column].judges) return value;
  const { floor, ceiling } = limitsOf(board, column);
  return floor === null || ceiling === null || floor === ceiling ? value : (value - floor) / (ceiling - floor);
}

function intervalShown(board, column, cell) {
  if (cell.low === null) return "";
  const ends = [shown(board, column, cell.low), shown(board, column, cell.high)].sort((one, other) => one - other);
  return interval(...ends);
}

function notes(board) {
  const greyed = board.columns.filter((column) => column.greyed);
  return [
    greyed.map((column) =>
      el("p", { class: "footnote" }, el("b", {}, column.about.label), ` is greyed, for it fails the audit: ${column.reason}`),
    ),
    board.rankingOf && !isOwn(board.rankingOf, weightsOf(board.rankingOf))
      ? el("p", { class: "footnote" }, "Places are those of the weights set here. How sure they are is known for the weights the page was made with; `xaibench leaderboard --weights` makes it with others.")
      : null,
    (board.rankingOf?.notes || []).map((note) => el("p", { class: "footnote" }, note)),
    el("details", {}, el("summary", {}, "How to reproduce"), el("pre", {}, board.command)),
  ];
}

// ---------------------------------------------------------------------------------------------------------- controls

function controls(board) {
  const families = [...new Set(board.rows.filter((row) => !row.about.reference).map((row) => row.about.card.family || ""))];
  const option = (value, text, chosen) => el("option", { value, selected: value === chosen }, text);
  return el(
    "div",
    { class: "controls" },
    el("label", {}, "Search ", el("input", { type: "search", id: "search", value: page.state.q, input: (event) => go({ q: event.target.value }) })),
    el(
      "label", {}, "Family ",
      el("select", { id: "family", change: (event) => go({ family: event.target.value }, true) },
        option("", "all", page.state.family), families.filter(Boolean).sort().map((name) => option(name, name, page.state.family))),
    ),
    el(
      "label", {}, "Numbers ",
      el("select", { id: "scale", change: (event) => go({ scale: event.target.value }, true) },
        option("", "as measured", page.state.scale), option("share", "0 = best floor, 1 = ceiling", page.state.scale)),
    ),
    el("label", {}, el("input", {
      type: "checkbox", id: "floors", checked: page.state.floors === "few",
      change: (event) => go({ floors: event.target.checked ? "few" : "" }, true),
    }), " few reference rows"),
    columnChoice(board),
    exportButtons(),
    board.rankingOf ? el("details", { "data-keep": "weights" }, el("summary", {}, "Weights"), weightControls(board.rankingOf)) : null,
  );
}

function columnChoice(board) {
  const hidden = new Set(listed(page.state.hide));
  const hide = (names) => go({ hide: [...names].join("~") });
  const box = ({ about }) =>
    el("label", {}, el("input", {
      type: "checkbox", "data-column": about.label, checked: !hidden.has(about.label),
      change: (event) => {
        if (event.target.checked) hidden.delete(about.label);
        else hidden.add(about.label);
        hide(hidden);
      },
    }), ` ${about.label}`);
  const families = [...new Set(board.columns.map((column) => column.about.card.family || "other"))];
  const every = board.columns.map((column) => column.about.label);
  return el(
    "details",
    { "data-keep": "columns" },
    el("summary", {}, hidden.size ? `Columns (${hidden.size} hidden)` : "Columns"),
    el("div", { class: "columns" },
      families.map((family) => el("fieldset", {}, el("legend", {}, family),
        board.columns.filter((column) => (column.about.card.family || "other") === family).map(box))),
      el("button", { type: "button", click: () => hide([]) }, "All"),
      el("button", { type: "button", click: () => hide(every) }, "None")),
  );
}
