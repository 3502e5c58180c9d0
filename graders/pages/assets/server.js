import { $, make } from "./dom.js";

// Requests to the server, with its token where it wants one. The token is kept for this tab alone.
const TOKEN_KEY = "graders-token";
let tokenGiven = null;

export class Refused extends Error {
  constructor(status, error) {
    super(error?.message || `the server answered with status ${status}`);
    this.status = status;
  }
}

// Resolves once somebody has typed a token.
function askForToken(wrong) {
  tokenGiven ??= new Promise(resolve => {
    $("token-form").hidden = false;
    $("token-hint").textContent = wrong ? "That is not its token." : "Kept in this tab only.";
    $("token-form").onsubmit = event => {
      event.preventDefault();
      sessionStorage.setItem(TOKEN_KEY, $("token").value.trim());
      $("token-form").hidden = true;
      tokenGiven = null;
      resolve();
    };
  });
  return tokenGiven;
}

const keyHeader = () => {
  const token = sessionStorage.getItem(TOKEN_KEY);
  return token ? { authorization: "Bearer " + token } : {};
};

// { status, answer, id } of a request; a body is sent as JSON, a FormData as it is.
export async function ask(method, path, body) {
  for (;;) {
    const headers = keyHeader();
    const form = body instanceof FormData;
    if (body !== undefined && !form) headers["content-type"] = "application/json";
    const response = await fetch(path, { method, headers, body: body === undefined || form ? body : JSON.stringify(body) });
    if (response.status === 401) {
      await askForToken("authorization" in headers);
      continue;
    }
    const type = response.headers.get("content-type") || "";
    const answer = type.startsWith("application/json") ? await response.json() : {};
    return { status: response.status, answer, id: response.headers.get("x-request-id") };
  }
}

// The answer of a request that has to succeed.
export async function call(method, path, body) {
  const { status, answer } = await ask(method, path, body);
  if (status >= 300) throw new Refused(status, answer.error);
  return answer;
}

export const read = path => call("GET", path);

// A file of the server's, kept by the browser as a download.
export async function download(path, name) {
  const response = await fetch(path, { headers: keyHeader() });
  if (!response.ok) throw new Refused(response.status);
  const url = URL.createObjectURL(await response.blob());
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
