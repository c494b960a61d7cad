// Arrow keys move between the pictures of a gallery; up and down go to the nearest one of the next row.

const tiles = [...document.querySelectorAll("[data-gallery] a.tile")];
const middle = (box) => box.left + box.width / 2;

function beside(tile, step) {
  return tiles[tiles.indexOf(tile) + step];
}

function nextRow(tile, direction) {
  const from = tile.getBoundingClientRect();
  const away = (box) => (box.top - from.top) * direction;
  const others = tiles.map((other) => ({ other, box: other.getBoundingClientRect() })).filter(({ box }) => away(box) > 4);
  if (!others.length) return undefined;
  const nearest = Math.min(...others.map(({ box }) => away(box)));
  const row = others.filter(({ box }) => away(box) - nearest < 4);
  row.sort((a, b) => Math.abs(middle(a.box) - middle(from)) - Math.abs(middle(b.box) - middle(from)));
  return row[0].other;
}

const moves = {
  ArrowLeft: (tile) => beside(tile, -1),
  ArrowRight: (tile) => beside(tile, 1),
  ArrowUp: (tile) => nextRow(tile, -1),
  ArrowDown: (tile) => nextRow(tile, 1),
  Home: () => tiles[0],
  End: () => tiles.at(-1),
};

function move(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || !(event.key in moves)) return;
  const here = document.activeElement?.closest("a.tile");
  const inArticle = document.activeElement === document.body || document.activeElement?.id === "main";
  if (!here && !(inArticle && event.key.startsWith("Arrow"))) return;
  const next = here ? moves[event.key](here) : tiles[0];
  if (!next) return;
  event.preventDefault();
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

if (tiles.length) document.addEventListener("keydown", move);
