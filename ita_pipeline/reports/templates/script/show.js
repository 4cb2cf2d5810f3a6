// Shows the state, and changes it with what a person does.

const PER_PAGE = 24;
const HIGHLIGHTS = 3;
const dialog = at("detail");
let shownPage = "";
let opened = "";
let opener = null;

function show() {
  const state = readState();
  choose(state);
  if (state.post && !chosen.some((entry) => entry.anchor === state.post)) {
    // A link to an entry outlives the filters that it was made under.
    location.replace(address({ post: state.post }));
    return;
  }
  for (const name of CHOOSERS) if (at(name)) at(name).value = state[name];
  for (const box of document.querySelectorAll("[data-draw]")) box.checked = at(box.dataset.draw).checked;
  if (document.activeElement !== at("find")) at("find").value = state.find;
  if (state.post) state.page = 1 + Math.floor(chosen.findIndex((entry) => entry.anchor === state.post) / PER_PAGE);
  showPage(state);
  showDetail(state);
}

function showPage(state) {
  const pages = Math.max(1, Math.ceil(chosen.length / PER_PAGE));
  const page = Math.min(state.page, pages);
  const drawn = ["draw-objects", "draw-words", "draw-unused"].map((id) => at(id).checked).join();
  const wanted = `${chosenFor} ${page} ${drawn}`;
  if (wanted === shownPage) return;
  shownPage = wanted;
  at("cards").replaceChildren(...chosen.slice((page - 1) * PER_PAGE, page * PER_PAGE).map(card));
  const of = chosen.length === entries.length ? "" : ` of ${entries.length}`;
  at("clear").hidden = !isFiltered(state);
  if (!chosen.length) put(at("cards"), make("p", { class: "soft" }, `No ${data.what} pass these filters.`));
  at("count").textContent = `${chosen.length}${of} ${data.what}${pages > 1 ? `, page ${page} of ${pages}` : ""}`;
  at("pager").hidden = pages === 1;
  at("page-number").value = page;
  at("page-number").max = pages;
  at("page-count").textContent = pages;
  at("page-back").disabled = page === 1;
  at("page-on").disabled = page === pages;
}

function showDetail(state) {
  if (!state.post) {
    const last = opened;
    opened = "";
    if (dialog.open) dialog.close();
    const link = last && document.querySelector(`#cards #card-${CSS.escape(last)} h3 a`);
    // Who came from a table or a card of the first screen goes back there.
    const isElsewhere = opener && opener !== document.body && opener.isConnected && !opener.closest("#cards");
    const back = isElsewhere ? opener : link;
    if (last && back) back.focus();
    opener = null;
    return;
  }
  const place = chosen.findIndex((entry) => entry.anchor === state.post);
  if (!dialog.open) opener = document.activeElement;
  opened = state.post;
  at("place").textContent = `${place + 1} of ${chosen.length}`;
  at("previous").disabled = place === 0;
  at("next").disabled = place === chosen.length - 1;
  at("detail-body").replaceChildren(...detail(chosen[place]));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  at("detail-title").focus({ preventScroll: true });
}

function step(by) {
  const state = readState();
  if (!chosen.length) return;
  const first = (state.page - 1) * PER_PAGE;
  const place = state.post ? chosen.findIndex((entry) => entry.anchor === state.post) + by : first;
  if (place >= 0 && place < chosen.length) go({ post: chosen[place].anchor, page: 1 }, !state.post);
}

function closeDetail() {
  const state = readState();
  const place = chosen.findIndex((entry) => entry.anchor === state.post);
  if (state.post) go({ post: "", page: 1 + Math.floor(Math.max(0, place) / PER_PAGE) }, false);
}

function turnTo(page) {
  const pages = Math.max(1, Math.ceil(chosen.length / PER_PAGE));
  go({ page: Math.min(Math.max(1, Math.round(page)), pages) }, true);
  at("gallery").scrollIntoView();
}

for (const name of CHOOSERS) {
  if (at(name)) at(name).addEventListener("change", () => go({ [name]: at(name).value, page: 1, post: "" }, false));
}
let typing = 0;
at("find").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => go({ find: at("find").value, page: 1, post: "" }, false), 150);
});
const SWITCHES = ["draw-objects", "draw-words", "draw-unused"];
for (const id of SWITCHES) at(id).addEventListener("change", show);
// The dialog makes the page behind it inert, so it has the switches too.
for (const box of document.querySelectorAll("[data-draw]")) {
  box.addEventListener("change", () => {
    at(box.dataset.draw).checked = box.checked;
    const state = readState();
    showPage(state);
    at("detail-body").replaceChildren(...detail(byAnchor.get(state.post)));
  });
}
at("clear").addEventListener("click", () => {
  const cleared = Object.fromEntries(FACETS.map((name) => [name, FIRST[name] || ""]));
  go({ ...cleared, find: "", page: 1, post: "" }, false);
  at("find").value = "";
  at("show").focus();
});
at("page-back").addEventListener("click", () => turnTo(readState().page - 1));
at("page-on").addEventListener("click", () => turnTo(readState().page + 1));
at("page-number").addEventListener("change", () => turnTo(at("page-number").valueAsNumber || 1));
at("previous").addEventListener("click", () => step(-1));
at("next").addEventListener("click", () => step(1));
at("close").addEventListener("click", closeDetail);
dialog.addEventListener("cancel", (event) => { event.preventDefault(); closeDetail(); });
dialog.addEventListener("click", (event) => { if (event.target === dialog) closeDetail(); });

const KEYS = { ArrowRight: () => step(1), j: () => step(1), ArrowLeft: () => step(-1), k: () => step(-1) };
document.addEventListener("keydown", (event) => {
  const busy = event.target.closest && event.target.closest("input:not([type=checkbox]), select, .scroll");
  if (busy || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key.length === 1 && !at("letters").checked) return;
  if (event.key === "/" && !dialog.open) {
    event.preventDefault();
    at("find").focus();
  } else if (KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  }
});
// Letters as keys can be switched off, for who speaks to the computer; a browser may refuse to remember that.
try {
  at("letters").checked = localStorage.getItem("ita-letters") !== "off";
  at("letters").addEventListener("change", () => localStorage.setItem("ita-letters", at("letters").checked ? "on" : "off"));
} catch {
  // without storage, the choice lasts as long as the page
}

// A link to a section keeps the filters; one to filters shows what they leave.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  if (!link) return;
  const target = link.getAttribute("href").slice(1);
  if (target.includes("=")) {
    if (!target.includes("post=")) setTimeout(() => at("gallery").scrollIntoView());
  } else if (at(target)) {
    event.preventDefault();
    openSection(target);
  }
});

function openSection(id) {
  const folded = at(id).querySelector(":scope > details");
  if (folded) folded.open = true;
  at(id).scrollIntoView();
  at(id).setAttribute("tabindex", "-1");
  at(id).focus({ preventScroll: true });
}

// The first screen shows posts that the picture made right, or else changed.
function showHighlights() {
  const telling = [...entries].sort(ORDERS.telling);
  const some = ["helped", "changed"].map((tag) => telling.filter((entry) => (entry.tags || []).includes(tag))).find((found) => found.length);
  if (!some || !at("highlights") || !data.highlights) return;
  at("highlight-cards").replaceChildren(...some.slice(0, HIGHLIGHTS).map((entry) => {
    const one = card(entry);
    one.id = `highlight-${entry.anchor}`;
    return one;
  }));
  const count = entries.filter((entry) => (entry.tags || []).includes("changed")).length;
  at("highlights-all").href = address({ ...FIRST, find: "", page: 1, show: "changed" });
  at("highlights-all").textContent = `All ${count} posts that the picture changed`;
  at("highlights").hidden = false;
}

fillChoosers();
showHighlights();
window.addEventListener("hashchange", show);
show();
if (location.hash.includes("=") && !location.hash.includes("post=")) at("gallery").scrollIntoView();
else if (at(location.hash.slice(1)) && location.hash.length > 1) openSection(location.hash.slice(1));
