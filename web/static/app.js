// For every page: requests to the server, and messages to the person.
const root = document.querySelector("meta[name=root]").content;

function problemText(body) {
  try {
    return JSON.parse(body).detail;
  } catch {
    return "The server refused the request.";
  }
}

/** Show a message for some seconds. */
function toast(text) {
  const place = document.getElementById("toast");
  place.textContent = text;
  place.classList.add("shown");
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => place.classList.remove("shown"), Math.max(6000, 60 * text.length));
}

/** Fetch. A problem document becomes an Error with its detail. Without an answer, fetch throws a TypeError. */
async function send(path, options = {}) {
  const headers = { Accept: "application/json", ...options.headers };
  const answer = await fetch(root + path, { ...options, headers }).catch((error) => {
    throw error instanceof TypeError ? new TypeError("The server does not answer.") : error;
  });
  if (!answer.ok) throw new Error(problemText(await answer.text()));
  return answer;
}
window.hangtag = { root, toast, send };
