// The composer: references by paste, drop, file or camera; chips that show the choice; the price on the button.

const form = document.getElementById("composer");
const prompt = form.elements.prompt;
const files = form.querySelector('input[name="reference"]');
const row = form.querySelector("[data-references]");
const warning = form.querySelector("[data-warning]");
const MOST_REFERENCES = 4;
let held = [...files.files]; // a file field forgets what it had when it is used again: we don't

const chosen = (name) => form.querySelector(`input[name="${name}"]:checked`);
const credits = (number) => `${number} credit${number === 1 ? "" : "s"}`;

function showChoices() {
  const model = chosen("model");
  offerSizesOf(model.value);
  for (const name of ["model", "size", "count"])
    form.querySelector(`[data-shown="${name}"]`).textContent = chosen(name).dataset.word;
  form.querySelector("[data-shown-ratio]").className = `ratio ar-${chosen("size").dataset.ratio}`;
  form.querySelector("[data-price]").textContent = credits(model.dataset.credits * chosen("count").value);
  warn();
}

function offerSizesOf(model) {
  const sizes = [...form.querySelectorAll('input[name="size"]')];
  const fits = (size) => size.dataset.models.split(" ").includes(model);
  for (const size of sizes) {
    size.disabled = !fits(size);
    size.closest("label").hidden = !fits(size);
  }
  if (!chosen("size") || chosen("size").disabled) sizes.find(fits).checked = true;
}

function warn(words = "") {
  const unused = row.childElementCount > 0 && !("takesReferences" in chosen("model").dataset);
  warning.textContent = words || (unused ? `${chosen("model").dataset.word} paints from words only: choose another model to use the references.` : "");
  warning.hidden = !warning.textContent;
}

const kept = () => row.querySelectorAll("[data-kept]").length;

function addFiles(added) {
  const pictures = [...added].filter((file) => file.type.startsWith("image/"));
  const room = MOST_REFERENCES - kept() - held.length;
  setFiles([...held, ...pictures.slice(0, Math.max(0, room))]);
  if (pictures.length > room) warn(`${MOST_REFERENCES} references are the most.`);
}

function setFiles(list) {
  held = list;
  const box = new DataTransfer();
  for (const file of held) box.items.add(file);
  files.files = box.files;
  drawReferences();
}

function drawReferences() {
  for (const old of row.querySelectorAll("[data-file]")) {
    URL.revokeObjectURL(old.querySelector("img").src);
    old.remove();
  }
  held.forEach((file, index) => row.append(thumbnail(file, index)));
  row.hidden = row.childElementCount === 0;
  warn();
}

function thumbnail(file, index) {
  const item = document.createElement("li");
  item.className = "reference";
  item.dataset.file = index;
  const image = document.createElement("img");
  image.src = URL.createObjectURL(file);
  image.alt = file.name;
  const drop = document.createElement("button");
  drop.type = "button";
  drop.className = "reference-drop";
  drop.setAttribute("aria-label", `Remove ${file.name}`);
  drop.textContent = "×";
  drop.addEventListener("click", () => {
    setFiles(held.filter((_, other) => other !== index));
    prompt.focus();
  });
  item.append(image, drop);
  return item;
}

files.addEventListener("change", () => addFiles(files.files));
form.querySelector("[data-camera]").addEventListener("change", (event) => {
  addFiles(event.target.files);
  event.target.value = "";
});

document.addEventListener("paste", (event) => {
  if (!event.clipboardData.files.length) return;
  event.preventDefault();
  addFiles(event.clipboardData.files);
});
document.addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  form.classList.add("is-over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) form.classList.remove("is-over");
});
document.addEventListener("drop", (event) => {
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  form.classList.remove("is-over");
  addFiles(event.dataTransfer.files);
});

row.addEventListener("click", (event) => {
  const item = event.target.closest("a.reference-drop")?.closest("li");
  if (!item) return;
  event.preventDefault();
  item.remove();
  drawReferences();
  prompt.focus();
});

form.addEventListener("change", (event) => {
  if (event.target.type === "radio") showChoices();
});
// A choice made with the pointer closes its menu; the keyboard may walk on through it.
form.addEventListener("click", (event) => {
  if (event.detail && event.target.closest(".choice, .count-choice")) event.target.closest("details").open = false;
});
form.addEventListener("submit", () => form.querySelector(".composer-act").setAttribute("aria-busy", "true"));
prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  if (!event.metaKey && !event.ctrlKey && !matchMedia("(pointer: fine)").matches) return;
  event.preventDefault();
  if (!form.querySelector(".composer-act").disabled) form.requestSubmit();
});

// Browsers without field-sizing grow the prompt by hand.
if (!CSS.supports("field-sizing", "content"))
  prompt.addEventListener("input", () => {
    prompt.rows = Math.min(12, Math.max(2, prompt.value.split("\n").length));
  });

for (const example of document.querySelectorAll("[data-example]"))
  example.addEventListener("click", (event) => {
    event.preventDefault();
    prompt.value = example.dataset.example;
    prompt.focus();
  });

// A reader's open details stay open while the stream changes what is round them.
if (window.Idiomorph)
  window.Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) =>
    !(name === "open" && node instanceof HTMLDetailsElement);

// On a wide screen the threads are a column that folds away; on a phone the same button opens a drawer.
const wide = matchMedia("(width >= 64rem)");
const button = document.querySelector(".threads-button");
const folded = () => localStorage.getItem("threads") === "closed";

function fold(closed) {
  document.body.classList.toggle("threads-closed", closed);
  button.setAttribute("aria-expanded", String(!closed));
}

button.addEventListener("click", (event) => {
  if (!wide.matches) return;
  event.preventDefault();
  localStorage.setItem("threads", folded() ? "open" : "closed");
  fold(folded());
});
if (wide.matches) fold(folded());

showChoices();
drawReferences();
if (!location.hash) document.querySelector(".slot:last-child .generation")?.scrollIntoView({ block: "end" });
