import { $, make } from "./dom.js";

// Which page an address shows. Links of this server change the page without loading it anew; Back and Forward work.
let routes = [], shown = null;

export function link(href, inside, attributes = {}) {
  return make("a", { href, ...attributes }, inside);
}

// To another address; `replace` does so without a step for Back, and without drawing the page anew.
export function go(href, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", href);
  else { history.pushState(null, "", href); draw(); }
}

// The address of this page with some parameters changed; null and "" remove one.
export function here(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") query.delete(name); else query.set(name, value);
  }
  const text = query.toString();
  return location.pathname + (text ? "?" + text : "");
}

// What a page is given: where to draw, the parts of its path, and the means to do something again while it is shown.
class View {
  constructor(root, parts) {
    this.root = root;
    this.parts = parts;
    this.query = new URLSearchParams(location.search);
    this.timers = [];
    this.alive = true;
  }

  every(seconds, work) {
    this.timers.push(setInterval(() => { if (!document.hidden) work(); }, seconds * 1000));
  }

  end() {
    this.alive = false;
    this.timers.forEach(clearInterval);
  }
}

export function failure(error) {
  return make("p", { class: "failure", role: "alert" }, error.message || String(error));
}

async function draw() {
  shown?.end();
  const found = routes.find(([pattern]) => pattern.test(location.pathname));
  const root = make("div", { class: "view" });
  const view = shown = new View(root, found ? location.pathname.match(found[0]).slice(1).map(decodeURIComponent) : []);
  try {
    if (found) await found[1](view);
    else root.append(make("p", { class: "none" }, "There is no such page."));
  } catch (error) {
    root.append(failure(error));
  }
  if (view !== shown) return;
  $("page").replaceChildren(root);
  for (const anchor of document.querySelectorAll("nav a")) {
    const section = anchor.pathname === "/" ? /^\/($|evals|compare)/ : new RegExp("^" + anchor.pathname);
    if (section.test(location.pathname)) anchor.setAttribute("aria-current", "page"); else anchor.removeAttribute("aria-current");
  }
}

export function start(pages) {
  routes = pages;
  addEventListener("popstate", draw);
  document.addEventListener("click", event => {
    const anchor = event.target.closest("a[href]");
    if (!anchor || event.button || event.ctrlKey || event.metaKey || event.shiftKey || anchor.origin !== location.origin) return;
    if (!routes.some(([pattern]) => pattern.test(anchor.pathname)) || anchor.hash) return;
    event.preventDefault();
    go(anchor.href);
    scrollTo(0, 0);
  });
  return draw();
}
