// Sets the chosen theme before the first paint and answers the switch; loaded without defer on purpose.
(() => {
  const root = document.documentElement;
  const themes = { light: "limner-light", dark: "limner-dark" };
  root.classList.add("js");

  const remembered = () => {
    try {
      return localStorage.getItem("theme") ?? "system";
    } catch {
      return "system"; // storage may be forbidden
    }
  };

  const apply = (choice) => {
    if (themes[choice]) root.dataset.theme = themes[choice];
    else delete root.dataset.theme;
    for (const button of document.querySelectorAll("[data-theme-choice]"))
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
  };

  const remember = (choice) => {
    try {
      localStorage.setItem("theme", choice);
    } catch {
      return; // then it holds for this page only
    }
  };

  apply(remembered());
  document.addEventListener("DOMContentLoaded", () => apply(remembered()));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-choice]");
    if (!button) return;
    remember(button.dataset.themeChoice);
    apply(button.dataset.themeChoice);
  });
})();
