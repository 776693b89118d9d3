
"use strict";
(() => {
  const links = [...document.querySelectorAll(".sets a")];
  const sets = [...document.querySelectorAll("article.set")];
  const show = (wanted) => {
    sets.forEach((set) => { set.hidden = set !== wanted; });
    links.forEach((link) => {
      if (link.hash === "#" + wanted.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  };
  const follow = () => {
    const target = document.getElementById(location.hash.slice(1));
    const set = target && target.closest("article.set");
    if (set) { show(set); target.scrollIntoView(); }
  };
  if (sets.length > 1) {
    show(sets[0]);
    follow();
    addEventListener("hashchange", follow);
    addEventListener("beforeprint", () => sets.forEach((set) => { set.hidden = false; }));
  }

  document.querySelectorAll(".failures").forEach((box) => {
    const find = (name) => box.querySelector("." + name);
    const cases = [...box.querySelectorAll(".cases > details")];
    let leafing = true;
    let at = 0;
    const chosen = () => cases.filter((item) =>
      (!find("cause").value || item.dataset.cause === find("cause").value) &&
      (!find("lost-to").value || item.dataset.lostTo === find("lost-to").value));
    const draw = () => {
      const found = chosen();
      at = Math.max(0, Math.min(at, found.length - 1));
      cases.forEach((item) => {
        item.hidden = leafing ? item !== found[at] : !found.includes(item);
        if (leafing) item.open = item === found[at];
      });
      find("previous").disabled = !leafing || at <= 0;
      find("next").disabled = !leafing || at >= found.length - 1;
      find("place").textContent = found.length
        ? (leafing ? (at + 1) + " of " + found.length : found.length + " failures") : "none";
      find("mode").textContent = leafing ? "show as a list" : "show one by one";
      find("mode").setAttribute("aria-pressed", String(!leafing));
      box.classList.toggle("leafing", leafing);
    };
    const leaf = (by) => { at += by; draw(); };
    find("previous").addEventListener("click", () => leaf(-1));
    find("next").addEventListener("click", () => leaf(1));
    for (const name of ["cause", "lost-to"]) {
      find(name).addEventListener("change", () => { at = 0; draw(); });
    }
    find("mode").addEventListener("click", () => {
      leafing = !leafing;
      if (!leafing) cases.forEach((item) => { item.open = false; });
      draw();
    });
    box.addEventListener("keydown", (event) => {
      if (!leafing || event.target.closest("select, table, .scroll")) return;
      if (event.key === "ArrowLeft") leaf(-1);
      if (event.key === "ArrowRight") leaf(1);
    });
    find("toolbar").hidden = false;
    draw();
  });

  document.querySelectorAll(".filtered").forEach((box) => {
    const rows = [...box.querySelectorAll("tr[data-words]")];
    const said = rows.map((row) => row.dataset.words.toLowerCase());
    const find = (name) => box.querySelector(".toolbar ." + name);
    const draw = () => {
      const words = find("words").value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, at) => {
        const fits = words.every((word) => said[at].includes(word)) &&
          (!find("currency").value || row.dataset.currency === find("currency").value) &&
          (!find("level").value || !row.dataset.level || row.dataset.level === find("level").value);
        row.hidden = !fits;
        shown += fits && row.dataset.level ? 1 : 0;
      });
      find("count").textContent = shown + " of " + rows.filter((row) => row.dataset.level).length;
    };
    for (const name of ["words", "currency", "level"]) find(name).addEventListener("input", draw);
    box.querySelector(".toolbar").hidden = false;
    draw();
  });
})();
