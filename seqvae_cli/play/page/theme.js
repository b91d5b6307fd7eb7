// Light or dark: that of the system, unless the reader chooses.

const KEY = "seqvae-theme";
const select = document.getElementById("theme");

function apply(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  dispatchEvent(new Event("themechange"));
}

let kept = "auto";
try {
  kept = localStorage.getItem(KEY) ?? "auto";
} catch {
  // no storage: the choice lasts as long as the page
}
select.value = ["auto", "light", "dark"].includes(kept) ? kept : "auto";
apply(select.value);
select.addEventListener("change", () => {
  try {
    localStorage.setItem(KEY, select.value);
  } catch {
    // as above
  }
  apply(select.value);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => apply(select.value));
