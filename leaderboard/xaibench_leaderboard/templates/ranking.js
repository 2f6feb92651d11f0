// The rule of the ranking, the same as in the program: weighted mean, over families of metrics, of mean ranks.

const FAMILIES = ["localisation", "faithfulness", "stability", "robustness", "sanity", "complexity", "cost"];

// Weights from the address, such as `localisation:2~cost:0.5`; those not named are the ranking's own.
function weightsOf(ranking) {
  const given = Object.fromEntries(listed(page.state.weights).map((part) => part.split(":")));
  return Object.fromEntries(
    Object.entries(ranking.weights).map(([family, own]) => {
      const asked = Number(given[family]);
      return [family, given[family] !== undefined && asked >= 0 && Number.isFinite(asked) ? asked : own];
    }),
  );
}

function isOwn(ranking, weights) {
  return Object.entries(ranking.weights).every(([family, own]) => weights[family] === own);
}

function weighedRank(families, weights) {
  let sum = 0;
  let total = 0;
  for (const [family, rank] of Object.entries(families)) {
    sum += (weights[family] ?? 0) * rank;
    total += weights[family] ?? 0;
  }
  return total ? sum / total : null;
}

// Everyone's mean rank and place under these weights, best first; equals share a place and stand by name.
function placed(ranking, weights) {
  const found = ranking.standings.map((one) => ({ ...one, mean: weighedRank(one.families, weights) }));
  if (found.some((one) => one.mean === null)) return null;
  const places = ranked(found.map((one) => Number(one.mean.toFixed(9))));
  found.forEach((one, at) => (one.place = places[at]));
  const byName = (one, other) => (one.explainer < other.explainer ? -1 : 1);
  return found.sort((one, other) => one.place - other.place || byName(one, other));
}

function weightControls(ranking) {
  const weights = weightsOf(ranking);
  const families = Object.keys(ranking.weights).sort((one, other) => FAMILIES.indexOf(one) - FAMILIES.indexOf(other));
  const field = (family) =>
    el(
      "label",
      {},
      `${family} `,
      el("input", {
        type: "number", min: 0, max: 99, step: "any", value: weights[family], "data-family": family, class: "weight",
        title: (ranking.metrics[family] || []).join(", "),
        change: (event) => setWeight(ranking, family, event.target.value),
      }),
    );
  return el(
    "fieldset",
    { class: "weights" },
    el("legend", {}, "Weights of the families"),
    families.map(field),
    isOwn(ranking, weights) ? null : el("button", { type: "button", click: () => go({ weights: "" }) }, "Reset"),
  );
}

function setWeight(ranking, family, value) {
  const weights = { ...weightsOf(ranking), [family]: value === "" ? ranking.weights[family] : Number(value) };
  const other = Object.entries(weights).filter(([name, weight]) => weight !== ranking.weights[name]);
  go({ weights: other.map(([name, weight]) => `${name}:${weight}`).join("~") });
}
