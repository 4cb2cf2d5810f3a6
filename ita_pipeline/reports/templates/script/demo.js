// Asks the server about a post, and shows its answer as the gallery of a report shows a post.

const KEPT = "\n\t\u200c\u200d";
let picture = null;
let asked = null;
let answered = null;

// Text made fit to be seen, letter by letter, as the pages of reports have it: nothing in it is invisible or turns
// the direction of other text. Flags that are written with tag characters stay whole.
function letters(text) {
  const found = [];
  for (const [part, flag] of text.matchAll(/(\u{1f3f4}[\u{e0020}-\u{e007e}]+\u{e007f})|[^]/gu)) {
    if (flag) found.push(...part);
    else found.push(writtenOut(part));
  }
  return found;
}

function writtenOut(letter) {
  if (!/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(letter) || KEPT.includes(letter)) return letter;
  const code = letter.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  return code === 0x7f ? "␡" : `‹U+${code.toString(16).toUpperCase().padStart(4, "0")}›`;
}

function seen(value) {
  if (typeof value === "string") return letters(value).join("");
  if (Array.isArray(value)) return value.map(seen);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, seen(item)]));
}

// An answer as an entry of a gallery whose words are letters, since the answer counts in letters.
function entryOf(answer, file) {
  const both = answer.views["text+image"];
  return {
    id: "your post",
    file: file ? seen(file.name) : "",
    picture: file ? "dropped" : "",
    parts: ["", ...letters(answer.text).flatMap((letter) => [letter, ""])],
    answers: { T: seen(answer.views.text), ...(both ? { "I+T": seen(both) } : {}) },
    contexts: seen(answer.contexts.map((text, index) => [answer.context_names[index], text])),
    explanation: seen(answer.explanation || undefined),
    found: seen(answer.found || {}),
  };
}

function say(status, problem = "") {
  at("status").textContent = status;
  at("problem").textContent = seen(problem);
}

function counted() {
  inItsLanguage(at("text"), at("text").value);
  const length = Array.from(at("text").value).length;
  at("left").textContent = length > 0.8 * data.characters ? `${length} of ${data.characters} characters` : "";
}

// The chooser shows what was dropped or pasted as if it had been chosen.
function pick(file) {
  picture = file || null;
  const carrier = new DataTransfer();
  if (picture) carrier.items.add(picture);
  at("picture").files = carrier.files;
  const size = picture && (picture.size > 1e6 ? `${(picture.size / 1e6).toFixed(1)} MB` : `${Math.ceil(picture.size / 1e3)} KB`);
  at("picked").textContent = picture ? size : at("picked").dataset.first;
  at("remove").hidden = !picture;
  if (at("preview").src) URL.revokeObjectURL(at("preview").src);
  at("preview").hidden = !picture;
  if (picture) at("preview").src = URL.createObjectURL(picture);
  else at("preview").removeAttribute("src");
  old();
}

const old = () => { if (answered) at("answer").classList.add("old"); };

// What was asked last: the text and the picture that the answer is about; and the answer as it came.
let about = null;
let latest = null;

async function send(post, waiting, use) {
  if (asked) asked.abort();
  const mine = new AbortController();
  asked = mine;
  say(waiting);
  busy(true);
  try {
    const response = await fetch("/predict", { method: "POST", body: post, signal: mine.signal });
    const answer = await response.json();
    if (asked !== mine) return;
    if (response.ok) { latest = answer; use(answer); }
    else say("", `${answer.error}.`);
  } catch (error) {
    if (error.name !== "AbortError") say("", "The demo does not respond. Is it still running?");
  }
  if (asked === mine) busy(false);
}

function busy(on) {
  at("post").classList.toggle("busy", on);
  at("answer").setAttribute("aria-busy", String(on));
}

function formOf({ text, file }) {
  const post = new FormData();
  post.set("text", text);
  if (file) post.set("image", file);
  return post;
}

async function ask() {
  const text = at("text").value;
  if (!text.trim() && !picture) return say("", "Type a tweet or drop a picture.");
  if (picture && picture.size > data.bytes) return say("", "The picture is too large.");
  about = { text, file: picture };
  off.clear();
  const post = formOf(about);
  post.set("explain", "true");
  await send(post, picture ? "Processing the picture …" : "Finding entities …", (answer) => show(answer, post.get("image")));
  return null;
}

// Asks again about the same post without the pieces that are switched off, and says what that changed.
async function askWithout(what, key) {
  const post = formOf(about);
  post.set("without", [...off].join());
  await send(post, `Tagging ${seen(what)} …`, (answer) => {
    const before = answered.answers["I+T"];
    const { answers, contexts } = entryOf(answer, about.file);
    answered = { ...answered, answers, contexts };
    redraw();
    const again = document.querySelector(`[data-piece="${CSS.escape(key)}"]:is(${focused})`);
    if (again) again.focus({ preventScroll: true });
    say(`${seen(what)}: ${difference(before, answers["I+T"])}`);
  });
}

// Which of the switches of a piece had the focus: the box in the picture or the one in a list.
let focused = "g";
document.addEventListener("focusin", (event) => { focused = event.target.matches("input[data-piece]") ? "input" : "g"; });

function difference(before, after) {
  const named = (mention) => `${wordsOf(answered, mention)} ${mention.type} ${percent(mention.score)}`;
  const lost = before.filter((one) => !after.some((other) => sameMentions([one], [other])));
  const won = after.filter((one) => !before.some((other) => sameMentions([one], [other])));
  if (!lost.length && !won.length) return `same entities: ${after.map(named).join(", ") || "none"}`;
  return `${lost.map(named).join(", ") || "nothing"} → ${won.map(named).join(", ") || "nothing"}`;
}

function show(answer, file) {
  if (pictures.dropped) URL.revokeObjectURL(pictures.dropped);
  pictures.dropped = file ? URL.createObjectURL(file) : undefined;
  answered = entryOf(answer, file);
  redraw();
  const mentions = answered.answers["I+T"] || answered.answers.T;
  const many = mentions.length === 1 ? "1 entity" : `${mentions.length || "no"} entities`;
  const none = file && !answer.contexts.length ? "; no findings were appended, so both views are the same" : "";
  say(`${many}, ${answer.seconds.toFixed(1)} s${none}`);
}

function redraw() {
  if (!answered) return;
  at("detail-body").replaceChildren(...detail(answered));
  at("detail-body").classList.toggle("alone", !answered.picture);
  at("drawing").hidden = !answered.picture;
  at("answer").classList.remove("old");
  at("answer").hidden = false;
  at("after").hidden = false;
  at("link").href = `#${new URLSearchParams({ text: about.text })}`;
}

at("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(JSON.stringify(latest, null, 2));
    say("copied");
  } catch {
    say("", "The browser does not let this page copy. Use the address below from a program.");
  }
});

// One click fills in a post that the run was tested on, with its picture, and asks about it.
async function useExample(number) {
  const { text, name } = data.examples[number];
  const response = await fetch(`/examples/${number}`);
  if (!response.ok) return say("", "The picture of this example is gone.");
  at("text").value = text.slice(0, data.characters);
  counted();
  pick(new File([await response.blob()], name, { type: "image/*" }));
  return ask();
}

(data.examples || []).forEach(({ text }, number) => {
  const button = make("button", { type: "button" }, bdi(seen(text)));
  button.addEventListener("click", () => useExample(number));
  put(at("example-list"), make("li", {}, button));
});
at("examples").hidden = !(data.examples || []).length;

// A link restores the text; a picture stays with who has it.
function restore() {
  const text = new URLSearchParams(location.hash.slice(1)).get("text");
  if (text === null) return;
  at("text").value = text.slice(0, data.characters);
  counted();
  old();
}
window.addEventListener("hashchange", restore);

at("picked").dataset.first = at("picked").textContent;
at("here").textContent = location.origin;
at("post").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
at("text").addEventListener("input", () => { counted(); old(); });
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask();
});
at("picture").addEventListener("change", () => pick(at("picture").files[0]));
at("remove").addEventListener("click", () => { pick(null); at("picture").focus(); });
for (const id of ["draw-objects", "draw-words", "draw-unused"]) at(id).addEventListener("change", redraw);
document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (file) { event.preventDefault(); pick(file); }
});
const over = (on) => (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  at("drop").classList.toggle("over", on);
};
document.addEventListener("dragover", over(true));
document.addEventListener("dragleave", over(false));
document.addEventListener("drop", (event) => {
  over(false)(event);
  if (event.dataTransfer.files.length) pick(event.dataTransfer.files[0]);
});
counted();
restore();
