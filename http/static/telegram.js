// Telegram writes what it says behind the #, which no server sees: take it from there, out of the address, and send it on.

const form = document.querySelector("form[data-telegram]");
const result = new URLSearchParams(location.hash.slice(1)).get("tgAuthResult");
history.replaceState(null, "", location.pathname + location.search);

if (result && result !== "false") {
  form.elements.result.value = result;
  form.hidden = false;
  form.requestSubmit();
} else {
  document.querySelector("[data-telegram-said]").textContent = "Nothing came of it over there, so nobody is logged in.";
}
