// Draws the charts, sorts the tables and changes the theme. No network, and no code made of text.
const root = document.documentElement;
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
// How wide a chart is on paper, in CSS pixels: A4 between its margins.
const PAPER_WIDTH = 660;
// A chart's colours are in the style sheet, which has others for the dark and for paper.
const config = {
  background: "transparent",
  font: getComputedStyle(document.body).fontFamily,
  view: { stroke: null },
  line: { strokeJoin: "round" },
  axis: { titleFontWeight: "normal" },
};

export async function draw(part = document) {
  for (const place of part.querySelectorAll(".chart")) {
    const chart = JSON.parse(place.nextElementSibling.textContent);
    const legend = chart.layer[0].encoding.color.legend;
    // Vega would go on beyond the edge of a phone.
    if (legend) legend.columns = Math.max(1, Math.floor((place.clientWidth - 60) / 110));
    const size = { width: "container", height: "container", autosize: { type: "fit", contains: "padding" } };
    const { view } = await vegaEmbed(place, { ...chart, ...size, config }, {
      mode: "vega-lite", renderer: "svg", actions: false,
      // A strict page lets no script make code or styles: expressions are interpreted.
      ast: true, defaultStyle: false, tooltip: { disableDefaultStyle: true },
    });
    place.view = view;
    view.addEventListener("click", (_, item) => {
      const detail = Number(item?.datum?.x ?? NaN);
      if (!isNaN(detail)) place.dispatchEvent(new CustomEvent("pointed", { detail, bubbles: true }));
    });
  }
  root.dataset.drawn = "yes";
}

// A chart listens to the window: one that is taken away would be kept by that.
export function remove(part) {
  for (const place of part.querySelectorAll(".chart")) place.view?.finalize();
  part.replaceChildren();
}

export function sort(header, isAscending = header.ariaSort !== "ascending") {
  const place = header.cellIndex;
  const isNumber = header.classList.contains("number");
  const body = header.closest("table").tBodies[0];
  const key = (row) => row.cells[place].dataset.key ?? row.cells[place].textContent;
  const order = (one, other) => {
    const [a, b] = [key(one), key(other)];
    // What is missing comes last, whichever way.
    if (a === "" || b === "") return (a === "") - (b === "");
    const before = isNumber ? Number(a) - Number(b) : a < b ? -1 : a > b ? 1 : 0;
    return isAscending ? before : -before;
  };
  for (const other of header.parentElement.cells) other.ariaSort = null;
  header.ariaSort = isAscending ? "ascending" : "descending";
  body.append(...[...body.rows].sort(order));
}

document.addEventListener("click", (event) => {
  const header = event.target.closest("th");
  if (header) sort(header);
});
function setTheme(isDark) {
  root.style.colorScheme = isDark ? "dark" : "light";
}
document.getElementById("theme").addEventListener("click", () => {
  setTheme(root.style.colorScheme !== "dark");
});
prefersDark.addEventListener("change", (event) => setTheme(event.matches));
setTheme(prefersDark.matches);

// Paper has another width than the screen; what is drawn for that would be shrunk.
addEventListener("beforeprint", () => {
  for (const { view } of document.querySelectorAll(".chart")) view?.width(PAPER_WIDTH).run();
});
addEventListener("afterprint", () => dispatchEvent(new Event("resize")));
draw();
