// Copies what the site serves from node_modules into http/static: `npm run vendor` after raising a version.
import { cpSync, readFileSync, writeFileSync } from "node:fs";

const modules = "node_modules";
const served = "http/static";

const files = {
  "htmx.org/dist/htmx.min.js": "vendor/htmx.min.js",
  "htmx-ext-sse/dist/sse.min.js": "vendor/htmx-sse.min.js",
  "idiomorph/dist/idiomorph-ext.min.js": "vendor/idiomorph-ext.min.js",
  "uplot/dist/uPlot.iife.min.js": "vendor/uplot.min.js",
  "uplot/dist/uPlot.min.css": "vendor/uplot.min.css",
  "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "fonts/inter-latin.woff2",
  "@fontsource-variable/inter/files/inter-cyrillic-wght-normal.woff2": "fonts/inter-cyrillic.woff2",
  "@fontsource-variable/fraunces/files/fraunces-latin-opsz-normal.woff2": "fonts/fraunces-latin.woff2",
};

const licensed = [
  "htmx.org",
  "htmx-ext-sse",
  "idiomorph",
  "uplot",
  "lucide-static",
  "tailwindcss",
  "daisyui",
  "@fontsource-variable/inter",
  "@fontsource-variable/fraunces",
];

const icons = readFileSync("styles/icons.txt", "utf8").split("\n").filter(Boolean);

for (const [from, to] of Object.entries(files)) cpSync(`${modules}/${from}`, `${served}/${to}`);
writeFileSync(`${served}/icons.svg`, sprite(icons));
writeFileSync(`${served}/vendor/LICENSES.txt`, licensed.map(licence).join("\n"));

function sprite(names) {
  return `<svg xmlns="http://www.w3.org/2000/svg">\n${names.map(symbol).join("\n")}\n</svg>\n`;
}

function symbol(name) {
  const svg = readFileSync(`${modules}/lucide-static/icons/${name}.svg`, "utf8");
  const shapes = svg.slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.lastIndexOf("</svg>"));
  const stroke = 'fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round"';
  return `<symbol id="${name}" viewBox="0 0 24 24" ${stroke}>${shapes.replace(/\s*\n\s*/g, "")}</symbol>`;
}

function licence(name) {
  const { version } = JSON.parse(readFileSync(`${modules}/${name}/package.json`, "utf8"));
  const words = readFileSync(`${modules}/${name}/LICENSE`, "utf8").trim();
  return `${name} ${version}\n${"=".repeat(72)}\n${words}\n`;
}
