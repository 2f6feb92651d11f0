// The table as it is shown, to paste elsewhere: the same rows, columns and order.

function grid() {
  const board = boardAt();
  const places = placesOf(board);
  const groups = groupsOf(board, places);
  const columns = columnsShown(board);
  const head = ["explainer", "kind", "place", ...columns.flatMap((at) => {
    const name = board.columns[at].about.label;
    return [name, `${name} low`, `${name} high`];
  }), "maps ok"];
  const rows = [...groups.methods, ...groups.apart, ...groups.references].map((at) => {
    const { about, covered } = board.rows[at];
    const cells = columns.flatMap((column) => {
      const { mean: value, low, high, status } = cellOf(board, at, column);
      return value === null ? [status, "", ""] : [value, low ?? "", high ?? ""];
    });
    return [about.label, about.reference || "method", places.get(about.label)?.place ?? "", ...cells, covered];
  });
  return { board, head, rows, columns };
}

function csv() {
  const { head, rows } = grid();
  // A spreadsheet takes what begins with these for a formula.
  const safe = (text) => (/^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) && text !== "-" ? `'${text}` : text);
  const field = (value) => (/[",\n\r]/.test(safe(String(value))) ? `"${safe(String(value)).replaceAll('"', '""')}"` : safe(String(value)));
  return [head, ...rows].map((row) => row.map(field).join(",")).join("\r\n");
}

// One column per metric: value and interval together.
function compact() {
  const { board, rows, columns } = grid();
  const lines = rows.map(([name, kind, place, ...rest]) => [
    kind === "method" ? name : `${name} (${kind})`,
    place,
    ...columns.map((_, at) => {
      const [value, low, high] = rest.slice(3 * at, 3 * at + 3);
      return typeof value === "string" ? value : `${number(value)} ${low === "" ? "" : interval(low, high)}`.trim();
    }),
  ]);
  const marks = columns.map((at) => `${board.columns[at].about.label}${board.columns[at].greyed ? " (fails the audit)" : ""}`);
  return { board, head: ["explainer", "place", ...marks], lines };
}

function markdown() {
  const { board, head, lines } = compact();
  const safe = (text) => String(text).replace(/[\\|`*_<>[\]]/g, "\\$&").replace(/\s+/g, " ");
  const row = (cells) => `| ${cells.map(safe).join(" | ")} |`;
  return [`${safe(board.title)} (${safe(board.subject)}; ${safe(board.accuracy)})`, "", row(head), `|${" --- |".repeat(head.length)}`, ...lines.map(row)].join("\n");
}

function latex() {
  const { board, head, lines } = compact();
  const special = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}" };
  const safe = (text) => String(text).replace(/[\\&%$#_{}~^<>]/g, (mark) => special[mark] ?? `\\${mark}`).replace(/\s+/g, " ");
  const row = (cells) => `${cells.map(safe).join(" & ")} \\\\`;
  return [
    "\\begin{table}", "\\centering", `\\caption{${safe(board.title)}, ${safe(board.subject)}; ${safe(board.accuracy)}.}`,
    `\\begin{tabular}{l${"r".repeat(head.length - 1)}}`, "\\hline", row(head), "\\hline", ...lines.map(row), "\\hline",
    "\\end{tabular}", "\\end{table}",
  ].join("\n");
}

function exportButtons() {
  const button = (name, make) => el("button", { type: "button", "data-copy": name, click: () => copy(make(), name) }, name);
  return el("span", { class: "copies", role: "group", "aria-label": "Copy the table" }, "Copy ",
    button("CSV", csv), button("Markdown", markdown), button("LaTeX", latex),
    button("link", () => location.href));
}
