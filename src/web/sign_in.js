"use strict";
// The page to choose the password or to sign in: sends what was typed, and opens the catalogue.
const by = id => document.getElementById(id);

by("form").addEventListener("submit", async event => {
  event.preventDefault();
  const password = by("password").value, button = document.querySelector("button");
  if (!by("twice").hidden && password !== by("again").value) {
    by("why").textContent = "The two passwords differ.";
    return;
  }
  button.disabled = true;
  by("why").textContent = "";
  try {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ password });
    const answer = await fetch(by("form").dataset.to, { method: "POST", headers, body });
    if (answer.ok) { location.replace("/"); return; }
    const told = await answer.json().catch(() => ({}));
    by("why").textContent = told.why || "It did not work; try again.";
  } catch {
    by("why").textContent = "Larder does not answer; is it switched on?";
  }
  button.disabled = false;
});
