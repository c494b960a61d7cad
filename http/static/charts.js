// Draws the charts of a page with uPlot, from the numbers that stand in it. Keys and fingers read them like the mouse.

const DASHES = { good: [], bad: [3, 3], wait: [8, 4], plain: [1, 3], 1: [], 2: [8, 4], 3: [3, 3], 4: [10, 3, 2, 3], 5: [1, 3], 6: [14, 4], 7: [5, 2, 1, 2] };

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const cents = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const day = clock({ day: "numeric", month: "short" });
const longDay = clock({ day: "numeric", month: "short", year: "numeric" });
const hour = clock({ hour: "2-digit", minute: "2-digit" });

function said(plot, value) {
  if (value === null || value === undefined) return "–";
  if (plot.unit === "money") return `${cents.format(value / 100)} ${plot.currency}`;
  if (plot.unit === "seconds") return `${value < 100 ? value.toFixed(1) : whole.format(value)} s`;
  return number.format(value);
}

// On the axis there is little room.
function short(plot, value) {
  if (plot.unit === "money") return number.format(value / 100);
  if (plot.unit === "seconds") return `${number.format(value)} s`;
  return number.format(value);
}

function moment(plot, seconds) {
  const at = new Date(seconds * 1000);
  return plot.hourly ? `${day.format(at)}, ${hour.format(at)} UTC` : longDay.format(at);
}

const reading = (plot, place) => `${moment(plot, plot.at[place])}: ${plot.lines.map((line) => `${line.name} ${said(plot, line.values[place])}`).join(", ")}`;

function options(plot, figure, box) {
  const style = getComputedStyle(figure);
  const ink = (name) => style.getPropertyValue(`--ink-${name}`).trim();
  const axis = { stroke: ink("words"), grid: { stroke: ink("grid"), width: 1 }, ticks: { show: false }, font: `12px ${style.fontFamily}` };
  const look = (line, place) => {
    const tone = line.tone || String((place % 7) + 1);
    return { label: line.name, stroke: ink(tone), width: 1.5, dash: DASHES[tone], spanGaps: false, points: { show: line.values.filter((value) => value !== null).length < 2, size: 5 } };
  };
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false, points: { size: 6 } },
    scales: { y: { range: (_, least, most) => bounds(plot, least, most) } },
    axes: [
      { ...axis, size: 28, gap: 7, space: 64, values: (_, ticks) => ticks.map((at) => (plot.hourly ? hour : day).format(new Date(at * 1000))), incrs: plot.hourly ? [3600, 7200, 10800, 21600, 43200] : [1, 2, 7, 14, 28, 56, 112].map((days) => days * 86400) },
      { ...axis, size: 48, gap: 4, space: 28, values: (_, ticks) => ticks.map((value) => short(plot, value)) },
    ],
    series: [{}, ...plot.lines.map(look)],
    hooks: { setCursor: [(drawn) => tell(plot, figure, box, drawn.cursor.idx)] },
  };
}

// From nothing, so that a small change looks small; with room above, and never without height.
function bounds(plot, least, most) {
  const low = Math.min(0, least ?? 0);
  const high = Math.max(0, most ?? 0);
  const room = (high - low) * 0.06 || (plot.unit === "money" ? 100 : 1);
  return [low < 0 ? low - room : 0, high + room];
}

// Beside each line's name stands its value where one points; else its newest.
function tell(plot, figure, box, pointed) {
  const place = pointed ?? plot.at.length - 1;
  figure.querySelector("[data-plot-at]").textContent = moment(plot, plot.at[place]);
  for (const [index, field] of figure.querySelectorAll("[data-plot-value]").entries())
    field.textContent = said(plot, plot.lines[index].values[place]);
  box.setAttribute("aria-valuenow", place);
  box.setAttribute("aria-valuetext", reading(plot, place));
}

function draw(figure) {
  const plot = JSON.parse(figure.dataset.plot);
  const box = figure.querySelector(".plot-box");
  const data = [plot.at, ...plot.lines.map((line) => line.values)];
  for (const [name, value] of Object.entries({ role: "slider", tabindex: 0, "aria-label": box.dataset.name, "aria-valuemin": 0, "aria-valuemax": plot.at.length - 1 }))
    box.setAttribute(name, value);
  let drawn;
  const again = () => {
    drawn?.destroy();
    box.replaceChildren();
    drawn = new uPlot(options(plot, figure, box), data, box);
    tell(plot, figure, box, null);
  };
  again();
  figure.classList.add("is-drawn");
  new ResizeObserver(() => drawn.setSize({ width: box.clientWidth, height: box.clientHeight })).observe(box);
  box.addEventListener("keydown", (event) => walk(event, plot, drawn));
  box.addEventListener("blur", () => drawn.setCursor({ left: -10, top: -10 }));
  return again;
}

function walk(event, plot, drawn) {
  const last = plot.at.length - 1;
  const here = drawn.cursor.idx ?? last;
  const steps = { ArrowLeft: here - 1, ArrowDown: here - 1, ArrowRight: here + 1, ArrowUp: here + 1, PageUp: here + 7, PageDown: here - 7, Home: 0, End: last };
  if (!(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const place = Math.min(last, Math.max(0, steps[event.key]));
  drawn.setCursor({ left: drawn.valToPos(plot.at[place], "x"), top: 0 });
}

const figures = [...document.querySelectorAll("[data-plot]")].map(draw);
const redraw = () => figures.forEach((again) => again());
new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
