// What the page was made with.
export const data = JSON.parse(document.getElementById("data").textContent);
