// A post as a card of the gallery.

// The post's other pictures, small; the post's own page shows them with what was found in them.
function strip(entry) {
  const more = (entry.more || []).filter((one) => pictures[one.picture]);
  const image = (one) => make("img", { src: pictures[one.picture], alt: `Picture ${one.file}`, loading: "lazy", decoding: "async" });
  return more.length ? make("div", { class: "strip" }, more.map(image)) : null;
}

function card(entry) {
  const told = make("output", { class: "told", "aria-live": "off" });
  const heading = make("h3", {}, make("a", { href: address({ ...readState(), post: entry.anchor }) }, bdi(entry.id)));
  const article = make("article", { class: "card", id: `card-${entry.anchor}`, "aria-label": entry.id });
  article.addEventListener("click", (event) => {
    if (event.target.closest("a, button, summary") || String(getSelection())) return;
    heading.querySelector("a").focus({ preventScroll: true });
    go({ post: entry.anchor }, true);
  });
  put(article, frame(entry, told, false), strip(entry), pictures[entry.picture] ? told : null);
  return put(article, make("div", { class: "body" }, heading, verdict(entry), says(entry, false), strongest(entry)));
}
