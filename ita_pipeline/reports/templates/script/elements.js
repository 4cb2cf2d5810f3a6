// The page's data, and elements made of them. What a post, a picture or a file said reaches the page as text nodes
// and attribute values only.

const SVG = "http://www.w3.org/2000/svg";

const data = JSON.parse(document.getElementById("data").textContent);
const entries = data.entries || [];
const pictures = data.pictures || {};
const types = data.types || [];
const at = (id) => document.getElementById(id);

function put(parent, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== "") parent.append(child);
  }
  return parent;
}

function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  return put(element, ...children);
}

function draw(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return put(element, ...children);
}

// Chinese and Japanese share letters. A browser picks their forms and line breaks by the language of an element.
const scripts = [["ja", /[\p{Script=Hiragana}\p{Script=Katakana}]/u], ["ko", /\p{Script=Hangul}/u], ["zh", /\p{Script=Han}/u]];

function inItsLanguage(element, text = element.textContent) {
  const [language] = scripts.find(([, script]) => script.test(text)) || [];
  const own = language === "zh" && /^(zh|ja)/i.test(data.language || "") ? data.language : language;
  if (own) element.setAttribute("lang", own);
  return element;
}

const bdi = (text) => inItsLanguage(make("bdi", {}, text));
for (const element of document.querySelectorAll("bdi")) inItsLanguage(element);
const percent = (score) => (score === undefined || score === null ? "" : `${(100 * score).toFixed(0)} %`);
