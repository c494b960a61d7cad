// The page that explains the API: send one order with the reader's token, and show what came back.

const form = document.getElementById("try");
const line = document.getElementById("try-line");
const mat = document.getElementById("try-picture");
const answer = document.getElementById("try-answer");

// The bytes of a picture would fill the screen many times.
const short = (name, value) => (name === "b64_json" && value?.length > 60 ? `${value.slice(0, 60)}…` : value);

function show(status, body) {
  answer.hidden = false;
  answer.textContent = `${status}\n${JSON.stringify(body, short, 2)}`;
  const picture = body.data?.[0]?.b64_json;
  mat.hidden = !picture;
  if (picture) mat.querySelector("img").src = `data:image/${body.output_format};base64,${picture}`;
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (form.ariaBusy === "true") return;
  form.ariaBusy = "true";
  const { token, ...asked } = Object.fromEntries(new FormData(form));
  const began = performance.now();
  line.textContent = "Painting…";
  try {
    const response = await fetch(form.action, {
      method: "POST",
      headers: { Authorization: `Bearer ${token.trim()}`, "Content-Type": "application/json" },
      body: JSON.stringify(asked),
      credentials: "omit",
    });
    const body = await response.json();
    show(`${response.status} ${response.headers.get("x-request-id")}`, body);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    line.textContent = response.ok ? `Painted in ${seconds} s, charged ${body.metadata.credits}.` : body.error.message;
  } catch {
    line.textContent = "The studio did not answer. What was ordered is in your gallery.";
  } finally {
    form.ariaBusy = "false";
  }
});
