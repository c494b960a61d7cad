// What every page shares: menus that close themselves, countdowns, forms that are sent once.

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details[data-menu][open]"))
    if (!menu.contains(event.target)) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.activeElement?.closest("details[data-menu][open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) event.preventDefault();
  else if (form.matches("[data-once]")) form.dataset.sent = "yes";
});

// A page taken back from the browser's cache may send its forms again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("[data-sent]")) delete form.dataset.sent;
});

const two = (number) => String(number).padStart(2, "0");

function left(until) {
  const seconds = Math.max(0, Math.round((until - Date.now()) / 1000));
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours ? `${hours} h ${two(minutes)} min` : `${minutes}:${two(seconds % 60)} min`;
}

function tick() {
  const clocks = document.querySelectorAll("time[data-countdown]");
  for (const clock of clocks) clock.textContent = left(new Date(clock.dateTime));
  if (clocks.length) setTimeout(tick, 1000);
}

tick();

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    button.querySelector("span").textContent = "Copied";
  } catch {
    button.querySelector("span").textContent = "Press Ctrl+C";
  }
});
