import { $, make, switchTheme } from "./dom.js";
import { comparePage } from "./compare.js";
import { editorPage } from "./editor.js";
import { evalsPage } from "./evals.js";
import { itemsPage, listenForKeys } from "./items.js";
import { jobPage, jobsPage } from "./jobs.js";
import { link, start } from "./router.js";
import { runsPage } from "./runs.js";

// The server's pages, one for each form of address.
const PAGES = [
  [/^\/$/, evalsPage],
  [/^\/evals\/([^/]+)$/, view => view.query.get("run_id") ? itemsPage(view, view.parts[0], view.query.get("run_id")) : runsPage(view, view.parts[0])],
  [/^\/compare$/, comparePage],
  [/^\/jobs$/, jobsPage],
  [/^\/jobs\/([^/]+)$/, view => jobPage(view, view.parts[0])],
  [/^\/row$/, editorPage],
];

const theme = make("button", { type: "button", class: "quiet", id: "theme" }, "Light / dark");
switchTheme(theme);
document.querySelector("main").before(make("header", { class: "site" },
  make("nav", { "aria-label": "Pages" }, make("b", {}, "local-graders"), link("/", "Evals"), link("/jobs", "Jobs"), link("/row", "Grade a row")), theme));
$("page").before(make("form", { class: "token", id: "token-form", hidden: true },
  make("label", { for: "token" }, "This server wants its token."),
  make("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false" }),
  make("button", { class: "quiet" }, "Use it"), make("span", { class: "soft small", id: "token-hint" })));
listenForKeys();
start(PAGES);
