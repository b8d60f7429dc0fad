// What every page needs: htmx sends the CSRF token, and errors are shown where a person sees them.
const csrf = document.querySelector("meta[name=csrf]").content;
const root = document.querySelector("meta[name=root]").content;

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRF-Token"] = csrf;
});
document.addEventListener("htmx:responseError", (event) => toast(problemText(event.detail.xhr.responseText)));
document.addEventListener("htmx:sendError", () => toast("The server does not answer."));

function problemText(body) {
  try {
    return JSON.parse(body).detail;
  } catch {
    return "The server refused.";
  }
}

/** Say something for some seconds. */
function toast(text) {
  const place = document.getElementById("toast");
  place.textContent = text;
  place.classList.add("shown");
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => place.classList.remove("shown"), 6000);
}

/** Fetch with the CSRF token; a problem document becomes an Error with its detail, silence a TypeError as fetch has it. */
async function send(path, options = {}) {
  const headers = { "X-CSRF-Token": csrf, Accept: "application/json", ...options.headers };
  const answer = await fetch(root + path, { ...options, headers }).catch((error) => {
    throw error instanceof TypeError ? new TypeError("The server does not answer.") : error;
  });
  if (!answer.ok) throw new Error(problemText(await answer.text()));
  return answer;
}
window.hangtag = { root, csrf, toast, send };
