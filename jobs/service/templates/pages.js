// Keys, and search as one types. Without it the pages work by buttons and forms.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("scripts");
  let sent = false;
  let choosing = false;

  const at = (key) => document.querySelector(`[data-key~="${CSS.escape(key)}"]`);

  // A page that is left answers nothing more; one that the browser shows again does.
  document.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    else if (event.target.id === "answer") sent = true;
  });
  window.addEventListener("pageshow", () => { sent = false; });

  const chooseModels = (on) => {
    choosing = on;
    root.classList.toggle("choosing-models", on);
  };

  const tickAll = (box) => {
    const all = [...box.querySelectorAll("input[type=checkbox]")];
    const on = !all.every((each) => each.checked);
    all.forEach((each) => { each.checked = on; });
    count(box);
  };

  const count = (box) => {
    const n = box.querySelectorAll("input:checked").length;
    const told = document.querySelector(`[data-counts="#${box.id}"]`);
    told.textContent = n ? `The answer will hold for ${n} more.` : "";
  };

  const press = (key) => {
    const wanted = choosing && /^[1-9]$/.test(key) ? `m${key}` : key;
    chooseModels(false);
    const target = at(wanted);
    if (key === "m" && at("m1")) return chooseModels(true), true;
    if (!target) return false;
    if (key === "g") {
      const box = target.closest("details");
      if (box.open) tickAll(box);
      else box.open = true;
      target.focus();
    } else if (target.matches("input")) {
      target.focus();
      target.select();
    } else target.click();
    return true;
  };

  document.addEventListener("keydown", (event) => {
    const inField = event.target.matches("input:not([type=checkbox]), select, textarea");
    if (event.key === "Escape") {
      chooseModels(false);
      if (inField) event.target.blur();
      return;
    }
    if (event.key === "Enter" && event.target.id === "note") return event.preventDefault();
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || sent) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") return move(event);
    if (!inField && event.key.length === 1 && press(event.key)) event.preventDefault();
  });

  // From the search to what it found, and along it.
  const move = (event) => {
    const list = [...document.querySelectorAll(".found button")];
    const place = list.indexOf(document.activeElement);
    const search = document.querySelector("#q");
    if (!list.length || (place < 0 && document.activeElement !== search)) return;
    event.preventDefault();
    const next = place + (event.key === "ArrowDown" ? 1 : -1);
    (next < 0 ? search : list[Math.min(next, list.length - 1)]).focus();
  };

  // Screen readers tell what comes into a region, not what is there from the start.
  document.querySelectorAll("[data-says]").forEach((each) => {
    const said = document.querySelector(each.dataset.says)?.textContent;
    if (said) setTimeout(() => { each.textContent = said; }, 100);
  });

  document.querySelectorAll("[data-submits]").forEach((each) =>
    each.addEventListener("change", () => each.form.requestSubmit()));
  document.querySelectorAll("[data-ticks]").forEach((each) =>
    each.addEventListener("click", () => tickAll(document.querySelector(each.dataset.ticks))));
  document.querySelectorAll("details.alike").forEach((box) =>
    box.addEventListener("change", () => count(box)));

  document.querySelectorAll("[data-search]").forEach((form) => {
    const into = document.querySelector(form.dataset.into);
    let timer;
    let asking;
    const ask = async () => {
      asking?.abort();
      asking = new AbortController();
      const url = new URL(form.dataset.search, location.href);
      new FormData(form).forEach((value, name) => url.searchParams.set(name, value));
      try {
        const answer = await fetch(url, { signal: asking.signal });
        const text = await answer.text();
        if (answer.ok) into.innerHTML = text; // made and escaped by the service
        else into.textContent = "That could not be asked; try again.";
      } catch (error) {
        if (error.name !== "AbortError") into.textContent = "The service does not answer.";
      }
    };
    form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, 150); });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const first = document.querySelector(".found button");
      if (form.matches(".search") && first) first.focus();
      else ask();
    });
  });
})();
