// The dialogs on the pages of models. Each has a form, and shows the form's errors.
const { root, send } = window.hangtag;

for (const button of document.querySelectorAll("[data-open]"))
  button.addEventListener("click", () => document.getElementById(button.dataset.open).showModal());
for (const button of document.querySelectorAll("[data-close]"))
  button.addEventListener("click", () => button.closest("dialog").close());

for (const form of document.querySelectorAll("form.change-model"))
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button:not([type])"), alert = form.querySelector("[role=alert]");
    button.disabled = true;
    alert.hidden = true;
    try {
      const answer = await (await send(form.dataset.path, { method: "POST", body: new FormData(form) })).json();
      location.assign(root + answer.to);
    } catch (error) {
      alert.textContent = error.message;
      alert.hidden = false;
      button.disabled = false;
    }
  });
