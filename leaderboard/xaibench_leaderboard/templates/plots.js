// Plots, drawn as SVG: axes, lines, points; and the plots of one board.

const MARKS = 6;
const DASHES = 4;
const TELLING = new Set(["roi", "centre", "edges", "random"]); // references whose lines are named in a plot

function linear(domain, range) {
  const [from, to] = domain;
  return (value) => (from === to ? (range[0] + range[1]) / 2 : range[0] + ((value - from) / (to - from)) * (range[1] - range[0]));
}

function ticks(from, to, count = 5) {
  const rough = (to - from) / count;
  if (!(rough > 0)) return [from];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
  const found = [];
  for (let at = Math.ceil(from / step - 1e-9); at * step <= to + step * 1e-9; at += 1) found.push(Number((at * step).toPrecision(12)));
  return found;
}

function brief(value) {
  return Number(value.toPrecision(3)).toString();
}

// A frame with axes; `inside` is given the two scales. `side`: room for names at the right.
function chart({ width = 460, height = 300, x, y, label, log = false, side = 0 }, inside) {
  const box = { left: 56, right: width - 12 - side, top: 12, bottom: height - 44 };
  const power = (value) => (log ? Math.log10(value) : value);
  const flat = linear(x.domain.map(power), [box.left, box.right]);
  const across = (value) => flat(power(value));
  const up = linear(y.domain, [box.bottom, box.top]);
  const xs = log ? decades(...x.domain) : ticks(...x.domain);
  const ys = ticks(Math.min(...y.domain), Math.max(...y.domain));
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label },
    ys.map((at) => [
      svg("line", { class: "grid", x1: box.left, x2: box.right, y1: up(at), y2: up(at) }),
      svg("text", { class: "soft", x: box.left - 6, y: up(at) + 4, "text-anchor": "end" }, brief(at)),
    ]),
    xs.map((at) => svg("text", { class: "soft", x: across(at), y: box.bottom + 16, "text-anchor": "middle" }, brief(at))),
    svg("path", { class: "axis", d: `M${box.left},${box.top}V${box.bottom}H${box.right}` }),
    svg("text", { x: (box.left + box.right) / 2, y: height - 8, "text-anchor": "middle" }, x.label),
    svg("text", { transform: `translate(13 ${(box.top + box.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, y.label),
    inside(across, up, box),
  );
}

function decades(from, to) {
  const found = [];
  for (let at = Math.floor(Math.log10(from)); at <= Math.ceil(Math.log10(to)); at += 1) found.push(10 ** at);
  const inside = found.filter((at) => at >= from * 0.999 && at <= to * 1.001);
  return inside.length > 1 ? inside : ticks(from, to, 4);
}

function spread(values, share = 0.06) {
  const [from, to] = [Math.min(...values), Math.max(...values)];
  const room = (to - from) * share || Math.abs(from) * share || 1;
  return [from - room, to + room];
}

function path(points) {
  let pen = "M";
  let text = "";
  for (const [x, y] of points) {
    if (y === null || Number.isNaN(y)) pen = "M";
    else {
      text += `${pen}${x.toFixed(1)},${y.toFixed(1)}`;
      pen = "L";
    }
  }
  return text;
}

function figure(drawing, title, ...caption) {
  return el("figure", {}, drawing, el("figcaption", {}, el("b", {}, title), ". ", caption));
}

// Names at the right of lines: as near as can be to where they belong, apart from each other, between top and bottom.
function spaced(wanted, gap, top, bottom) {
  const order = wanted.map((_, at) => at).sort((one, other) => wanted[one] - wanted[other]);
  const found = [];
  let last = top - gap;
  for (const at of order) found[at] = last = Math.max(wanted[at], last + gap);
  let next = bottom + gap;
  for (const at of order.reverse()) found[at] = next = Math.min(found[at], next - gap);
  return found;
}

function marked(at) {
  return `mark-${at % MARKS} dash-${Math.floor(at / MARKS) % DASHES}`;
}

// ------------------------------------------------------------------------------------------------------ one board

function drawPlots() {
  const overall = isOverall();
  const board = boardAt();
  const ranking = overall ? page.content.overall : board.rankingOf;
  return [
    el("h2", {}, overall ? "Over all boards" : board.title),
    overall ? null : el("p", { class: "subject" }, board.subject),
    overall ? null : board.flags.map((flag) => el("p", { class: "flag" }, flag)),
    ranking ? rankingPlots(ranking) : el("p", {}, "No ranking was made of this board."),
    overall ? null : boardPlots(board),
    el("details", {}, el("summary", {}, "How to reproduce these figures"),
      el("pre", {}, overall ? page.content.boards.map((one) => one.command).join("\n") : board.command),
      el("p", { class: "footnote" }, "The run draws this page at its end; `xaibench leaderboard` draws it again from a results folder.")),
  ];
}

function rankingPlots(ranking) {
  return [
    el("div", { class: "figures" }, criticalDifference(ranking.critical), ranking.pareto.map(pareto)),
    ranking.notes.map((note) => el("p", { class: "footnote" }, note)),
    pairwiseTable(ranking.pairwise),
    agreementTable(ranking.agreement),
  ];
}

function boardPlots(board) {
  return [
    board.curves.length ? el("h3", {}, "Curves") : null,
    board.curves.length ? el("div", { class: "figures" }, board.curves.map((plot) => curves(plot))) : null,
    board.sizes?.length ? el("h3", {}, "By size of the lesion") : null,
    board.sizes?.length ? el("div", { class: "figures" }, board.sizes.map((plot) => sizes(plot))) : null,
  ];
}

function criticalDifference(found) {
  if (!found) return null;
  const names = found.explainers;
  const width = 640;
  const half = Math.ceil(names.length / 2);
  const top = 54 + 13 * found.bars.length;
  const height = top + 20 + 18 * half;
  const worst = Math.max(names.length, 2);
  const across = linear([1, worst], [180, width - 180]);
  const name = (at) => {
    const left = at < half;
    const y = top + 18 * (left ? at : names.length - 1 - at) + 12;
    const edge = left ? 172 : width - 172;
    const x = across(found.ranks[at]);
    return [
      svg("path", { class: "thin", d: `M${x},40V${y}H${edge}` }),
      svg("text", { x: left ? edge - 4 : edge + 4, y: y + 4, "text-anchor": left ? "end" : "start" }, clipped(names[at], 24), svg("title", {}, names[at]), ` ${found.ranks[at].toFixed(2)}`),
    ];
  };
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `Critical difference diagram: ${names.map((one, at) => `${one} ${found.ranks[at].toFixed(2)}`).join(", ")}` },
    svg("path", { class: "axis", d: `M${across(1)},40H${across(worst)}` }),
    ticks(1, worst, Math.min(worst - 1, 8)).map((at) => [
      svg("path", { class: "axis", d: `M${across(at)},35v5` }),
      svg("text", { class: "soft", x: across(at), y: 31, "text-anchor": "middle" }, brief(at)),
    ]),
    svg("path", { class: "thick", d: `M${across(1)},8H${across(Math.min(worst, 1 + found.distance))}` }),
    svg("text", { x: across(Math.min(worst, 1 + found.distance)) + 8, y: 12 }, `CD ${found.distance.toFixed(3)}`),
    names.map((_, at) => name(at)),
    found.bars.map(([from, to], at) => svg("path", { class: "thick", d: `M${across(found.ranks[from]) - 4},${52 + 13 * at}H${across(found.ranks[to]) + 4}` })),
  );
  return figure(drawing, "Critical difference",
    `Mean ranks over ${found.blocks} ${found.unit}, 1 is best; explainers under one bar do not differ (Nemenyi, level ${found.level}). `,
    `Friedman ${number(found.statistic)}, p ${number(found.p)}.`);
}

function clipped(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function pareto(found) {
  const points = found.points.filter(([, , cost]) => cost > 0);
  if (!points.length) return null;
  const costs = points.map(([, , cost]) => cost);
  const room = [Math.min(...costs) / 1.5, Math.max(...costs) * 1.5];
  const quality = spread(points.map(([, rank]) => rank), 0.12).reverse();
  const front = points.filter(([, , , on]) => on).sort((one, other) => one[2] - other[2]);
  const drawing = chart(
    { width: 560, height: 340, log: true, label: `Quality against ${found.metric}`,
      x: { domain: room, label: `${found.metric}${found.unit ? ` (${found.unit})` : ""}, log scale` },
      y: { domain: quality, label: "mean rank, better upwards" } },
    (x, y, box) => {
      const heights = spaced(points.map(([, rank]) => y(rank) + 4), 12, box.top, box.bottom + 6);
      return [
        svg("path", { class: "curve mark-1", d: path(front.map(([, rank, cost]) => [x(cost), y(rank)])) }),
        points.map(([name, rank, cost, on], at) => {
          const left = x(cost) > (box.left + box.right) / 2;
          return [
            svg("circle", { class: `dot ${on ? "mark-1" : "mark-0"}`, cx: x(cost), cy: y(rank), r: on ? 5.5 : 3.5 }, svg("title", {}, `${name}: ${number(cost)} ${found.unit}, mean rank ${number(rank)}`)),
            points.length <= 24 || on ? svg("text", { x: x(cost) + (left ? -8 : 8), y: heights[at], "text-anchor": left ? "end" : "start" }, clipped(name, 26)) : null,
          ];
        }),
      ];
    },
  );
  return figure(drawing, `Quality against ${found.metric}`, "On the line: nobody is both better and cheaper.");
}

function curves(plot) {
  const chosen = plot.lines.filter((line) => matches({ about: aboutOf(line.explainer) }) || line.reference);
  return lineChart(plot, chosen, plot.axis || "place", plot.metric,
    "Mean over images. Grey: floors and ceilings. The search field of the leaderboard chooses the lines.");
}

function aboutOf(label) {
  return page.content.explainers.find((about) => about.label === label) ?? { label, card: {}, reference: "" };
}

function sizes(plot) {
  const chosen = plot.lines.filter((line) => line.reference || matches({ about: aboutOf(line.explainer) }));
  return lineChart(plot, chosen, plot.axis, plot.metric, plot.note);
}

function lineChart(plot, lines, across, title, note) {
  const known = lines.flatMap((line) => line.y).filter((value) => value !== null);
  if (!known.length || plot.x.length < 2) return null;
  const methods = lines.filter((line) => !line.reference);
  const named = lines.filter((line) => !line.reference || TELLING.has(aboutOf(line.explainer).name));
  const room = { domain: [Math.min(...plot.x), Math.max(...plot.x)], label: across };
  const drawing = chart(
    { width: 640, height: Math.max(320, 60 + 13 * named.length), label: title, x: room, y: { domain: spread(known), label: title }, side: 150 },
    (x, y, box) => {
      const ends = named.map((line) => y(line.y.findLast((value) => value !== null) ?? known[0]) + 4);
      const heights = spaced(ends, 12.5, box.top + 4, box.bottom + 10);
      return lines.map((line) => {
        const look = line.reference || marked(methods.indexOf(line));
        const points = line.y.map((value, at) => [x(plot.x[at]), value === null ? null : y(value)]);
        return [
          svg("path", { class: `curve ${look}`, d: path(points) }, svg("title", {}, line.explainer)),
          named.includes(line) ? svg("text", { class: `key ${look}`, x: box.right + 6, y: heights[named.indexOf(line)] }, clipped(line.explainer, 22)) : null,
        ];
      });
    },
  );
  return figure(drawing, title, note);
}
