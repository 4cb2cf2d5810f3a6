// Pieces of the contexts that are switched off: a box, a word or a caption is a switch wherever the page shows it.

const off = new Set();
const isOff = (context, thing) => off.has(`${context}:${thing.piece}`);
const KINDS = { object: "objects", word: "ocr", caption: "caption" };

function isSwitch(thing) {
  return thing.piece !== undefined && thing.piece !== null;
}

function flip(context, thing, name) {
  const key = `${context}:${thing.piece}`;
  const wasOff = off.delete(key);
  if (!wasOff) off.add(key);
  askWithout(`${wasOff ? "with" : "without"} ${name}`, key);
}

// A box as a button that is pressed while its piece is appended.
function switchOfBox(group, kind, thing) {
  if (!isSwitch(thing)) return;
  const context = KINDS[kind];
  group.setAttribute("role", "button");
  group.setAttribute("aria-pressed", String(!isOff(context, thing)));
  group.dataset.piece = `${context}:${thing.piece}`;
  group.classList.toggle("off", isOff(context, thing));
  const act = () => flip(context, thing, thing.text || thing.tag || thing.label);
  group.addEventListener("click", act);
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act();
  });
}

// The same in a list, as a check box.
function switchInList(context, thing, content) {
  if (!isSwitch(thing)) return content;
  const box = make("input", { type: "checkbox", autocomplete: "off" });
  box.checked = !isOff(context, thing);
  box.dataset.piece = `${context}:${thing.piece}`;
  box.addEventListener("change", () => flip(context, thing, thing.text || thing.tag || thing.label));
  return make("label", { class: "switch" }, box, make("span", {}, content));
}
