// Which view is drawn, and the start.

const VIEWS = {
  board: () => (isOverall() ? drawOverall() : drawBoard()),
  plots: () => drawPlots(),
  gallery: () => drawGallery(),
  explainers: () => drawExplainers(),
  models: () => drawModels(),
};

function isOverall() {
  return page.state.board === "all" && page.content.overall !== null;
}

// Only what is seen is drawn; an open fold and the place of the cursor outlive the drawing.
function draw() {
  const { view } = page.state;
  document.documentElement.dataset.theme = page.state.theme;
  for (const section of document.querySelectorAll("[data-view]")) section.hidden = section.dataset.view !== view;
  for (const link of document.querySelectorAll("#views a")) {
    link.href = addressOf({ ...page.state, view: link.dataset.to, cell: "", at: "" });
    if (link.dataset.to === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  byId("chooser").replaceChildren(...chooser());
  if (VIEWS[view]) redraw(byId(view), VIEWS[view]());
  if (view === "scorecard") redraw(byId("scores"), drawScores());
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  openPanel();
}

function redraw(section, content) {
  const folds = new Map([...section.querySelectorAll("details[data-keep]")].map((one) => [one.dataset.keep, one.open]));
  const focus = section.contains(document.activeElement) ? document.activeElement : null;
  const selector = focus && focusSelector(focus);
  const caret = focus?.id === "search" ? focus.selectionStart : null;
  const scrolled = section.querySelector(".scroll")?.scrollLeft || 0;
  section.replaceChildren(...content.flat(3).filter(Boolean));
  for (const one of section.querySelectorAll("details[data-keep]")) one.open = folds.get(one.dataset.keep) ?? one.open;
  if (section.querySelector(".scroll")) section.querySelector(".scroll").scrollLeft = scrolled;
  const again = selector && section.querySelector(selector);
  again?.focus({ preventScroll: true });
  if (again && caret !== null) again.setSelectionRange(caret, caret);
}

function focusSelector(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const [name, value] = Object.entries(element.dataset)[0] || [];
  return name ? `[data-${name}="${CSS.escape(value)}"]` : null;
}

function chooser() {
  if (!["board", "plots", "gallery", "scorecard"].includes(page.state.view) || page.content.boards.length < 2) return [];
  const title = (board) => `${board.title} (${board.subject})${board.poor ? " (poor model)" : ""}`;
  const chosen = isOverall() && page.state.view !== "gallery" ? "all" : boardAt().id;
  const option = (value, text) => el("option", { value, selected: value === chosen }, text);
  return [
    el("label", {}, "Board ",
      el("select", { id: "which", change: (event) => go({ board: event.target.value, cell: "" }, true) },
        page.content.overall ? option("all", "Over all") : null,
        page.content.boards.map((board) => option(board.id, title(board))))),
  ];
}

function isDark() {
  return page.state.theme ? page.state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

async function start() {
  page.content = await inflate(byId("content").textContent);
  page.content.boards.forEach(prepare);
  page.state = readState();
  if (!document.querySelector(`[data-view="${CSS.escape(page.state.view)}"]`)) page.state.view = "board";
  document.documentElement.classList.add("scripted");
  for (const name of ["popstate", "hashchange"]) {
    addEventListener(name, () => {
      page.state = readState();
      draw();
    });
  }
  byId("theme").addEventListener("click", () => go({ theme: isDark() ? "light" : "dark" }, true));
  listen();
  draw();
  document.documentElement.dataset.ready = "true";
  performance.mark("ready");
}

start();
