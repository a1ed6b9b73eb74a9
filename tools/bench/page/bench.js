"use strict";
// The bench's page: draws what GET /hardware says five times a second and sends the actions.
// It holds no state of its own: a control shows the world as the bench last told it.

const $ = (id) => document.getElementById(id);
const LEVELS = [[12, "A"], [9, "B"], [6, "C"], [3, "D"], [0, "E"], [-12, "F"]];
const POLL_MS = 200, SLOW_POLL_MS = 1000, NOTICE_MS = 9000, HOLD_MS = 1500, LOST_MS = 2000;
let serialFrom = 0, pageAnswers = null, noticeTimer = 0, lastHardware = null, pageUrl = "";

async function ask(path, fields) {
  const request = fields === undefined ? {} : {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(fields),
  };
  const answer = await fetch(path, request);
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

let last = Promise.resolve(); // one action after the other, in the order of the clicks
function act(name, fields) {
  last = last.then(() => send(name, fields));
}

async function send(name, fields) {
  try {
    show(await ask("/" + name, fields));
    hideNotice();
  } catch (error) {
    notice(error instanceof TypeError ? "The bench does not answer." : error.message);
    if (lastHardware) show(lastHardware); // the control goes back to what is true
  }
}

function notice(sentence) {
  $("notice-text").textContent = sentence;
  $("notice").hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(hideNotice, NOTICE_MS);
}
function hideNotice() { $("notice").hidden = true; }

// Drawing

const volts = (mv) => (mv / 1000).toFixed(1).replace("-", "−");
const tidy = (a) => String(Math.round(a * 10) / 10);

// IEC 61851-1: what a duty cycle offers to the car
function offered(permille) {
  if (permille < 80 || permille > 970) return null;
  if (permille < 100) return 6;
  return permille <= 850 ? permille * 0.06 : Math.min(80, (permille / 10 - 64) * 2.5);
}

function wave(hw) {
  const y = (mv) => 88 - mv * 72 / 12000;
  const left = 84, width = 472, periods = 3;
  const high = y(hw.pilot_high_mv), low = y(hw.pilot_low_mv);
  if (hw.pilot_high_mv === hw.pilot_low_mv) return `M${left} ${high}h${width}`;
  const period = width / periods, on = period * hw.duty_permille / 1000;
  let path = `M${left} ${low}`;
  for (let i = 0; i < periods; i++) path += `V${high}h${on}V${low}h${period - on}`;
  return path;
}

function drawLevels() {
  const parts = [];
  for (const [v, letter] of LEVELS) {
    const y = 88 - v * 6;
    const sign = v > 0 ? "+" : v < 0 ? "−" : "";
    parts.push(`<path class="level" d="M84 ${y}h472"/>`,
      `<text x="14" y="${y + 4}" data-level="${letter}">${letter}</text>`,
      `<text x="74" y="${y + 4}" text-anchor="end" data-level="${letter}">${sign}${Math.abs(v)} V</text>`);
  }
  $("levels").innerHTML = parts.join("");
}

function nearestLevel(mv) {
  let best = LEVELS[0];
  for (const level of LEVELS) if (Math.abs(level[0] - mv / 1000) < Math.abs(best[0] - mv / 1000)) best = level;
  return best[1];
}

function show(hw) {
  lastHardware = hw;
  const closed = hw.contactor === "closed", amps = hw.current_ma / 1000;
  const scene = $("scene"), on = (name, yes) => scene.classList.toggle(name, Boolean(yes));
  on("powered", hw.powered);
  on("closed", closed);
  on("unplugged", !hw.plugged);
  on("away", hw.plugged && hw.car.state === "A");
  on("locked", hw.lock === "locked");
  on("moving", hw.lock === "moving");
  on("s2", "CD".includes(hw.car.state));
  on("no-diode", hw.faults.diode);
  on("welded", hw.faults.welded);
  on("flowing", amps > 0);
  $("pin").style.transform = `translateY(${{locked: 16, moving: 8}[hw.lock] || 0}px)`;
  $("contactor-label").textContent = hw.contactor;
  $("lock-label").textContent = hw.lock;
  $("rating").textContent = !hw.plugged ? "" : hw.cable_a > 0 ? hw.cable_a + " A" : hw.cable_a ? "short" : "no code";
  $("amps").textContent = tidy(amps) + " A";
  $("s2-ohms").textContent = hw.car.state === "D" ? "270" : "1.3 k";

  $("t-contactor").textContent = hw.contactor;
  $("t-contactor").className = closed ? "power" : "";
  $("t-lock").textContent = hw.lock;
  const steady = hw.pilot_high_mv === hw.pilot_low_mv;
  $("t-pilot").textContent = !hw.powered ? "–"
    : volts(hw.pilot_high_mv) + (steady ? "" : " / " + volts(hw.pilot_low_mv)) + " V";
  const offer = steady ? null : offered(hw.duty_permille);
  $("t-duty").innerHTML = steady || !hw.powered ? "–"
    : `${tidy(hw.duty_permille / 10)} %` + (offer ? ` <small>${tidy(offer)} A</small>` : "");
  $("t-current").textContent = tidy(amps) + " A" + (amps > 0 && hw.car.phases === 3 ? " × 3" : "");
  $("t-current").className = amps > 0 ? "power" : "";
  $("t-energy").textContent = hw.energy_wh < 1000 ? hw.energy_wh + " Wh" : (hw.energy_wh / 1000).toFixed(2) + " kWh";
  $("wave").setAttribute("d", hw.powered ? wave(hw) : "");
  $("no-wave").textContent = hw.powered ? "" : "no power";
  const letter = hw.powered ? nearestLevel(hw.pilot_high_mv) : "";
  for (const label of $("levels").querySelectorAll("text")) label.classList.toggle("now", label.dataset.level === letter);

  const text = `Contactor ${hw.contactor}, lock ${hw.lock}, ${!hw.plugged ? "no cable" : hw.car.state === "A" ? "cable without a car" : "car plugged in"}, ${tidy(amps)} A`;
  if ($("scene-text").textContent !== text) $("scene-text").textContent = text;

  $("power").checked = hw.powered;
  $("plug").textContent = hw.plugged ? "Unplug" : "Plug in";
  $("plug").classList.toggle("out", hw.plugged);
  $("cable").disabled = hw.plugged;
  choose("car", hw.car.state);
  choose("phases", hw.car.phases);
  if (hw.plugged) choose("cable", hw.cable_a);
  slide("draw", Math.round(hw.car.draw_a), "A");
  slide("heat", Math.round(hw.temperature_c), "°C");
  for (const button of document.querySelectorAll("[data-tap]")) button.classList.toggle("lies", button.dataset.tap === hw.card);
  for (const box of document.querySelectorAll("[data-car]")) box.checked = hw.car[box.dataset.car];
  for (const box of document.querySelectorAll("[data-fault]")) box.checked = hw.faults[box.dataset.fault];
  for (const box of document.querySelectorAll("[data-network]")) box.checked = hw.network[box.dataset.network];
}

function choose(name, value) {
  for (const radio of document.getElementsByName(name)) radio.checked = radio.value === String(value);
}

const heldUntil = {}; // a slider with a hand on it: the world must not pull it away
function slide(id, value, unit) {
  if (!(performance.now() < heldUntil[id])) $(id).value = value;
  $(id + "-out").textContent = $(id).value + " " + unit;
}

function showCharger(status) {
  const powered = !lastHardware || lastHardware.powered;
  $("state").textContent = status ? status.state : powered ? "starting…" : "no power";
  $("state").className = !status ? "" : status.state === "Charging" ? "good" : status.state === "Faulted" ? "bad" : "";
  const reason = status && status.reason;
  $("reason").textContent = !reason ? "" : typeof reason === "string" ? reason : reason.text || reason.sentence || reason.code || "";
  $("no-page").hidden = Boolean(status);
  $("no-page").textContent = powered ? "The charger's page does not answer yet." : "The charger has no power.";
  // Loaded anew when the charger has come back, not at every poll: it refreshes itself.
  if (status && !pageAnswers) $("page").src = pageUrl;
  pageAnswers = Boolean(status);
}

async function showSerial() {
  const tail = await ask("/serial?from=" + serialFrom);
  const box = $("serial"), atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  if (tail.from !== serialFrom) box.textContent = "";
  if (tail.text) box.textContent = (box.textContent + tail.text.replace(/\r\n?/g, "\n")).slice(-20000);
  serialFrom = tail.next;
  if (tail.text && atEnd) box.scrollTop = box.scrollHeight;
}

// Watching

async function watch(every_ms, look) {
  let failingSince = 0;
  for (;;) {
    try {
      await look();
      failingSince = 0;
    } catch {
      failingSince ||= performance.now();
    }
    if (failingSince && performance.now() - failingSince > LOST_MS) {
      $("state").textContent = "The bench does not answer.";
      $("state").className = "bad";
      $("reason").textContent = "Is make run still running?";
    }
    await new Promise((done) => setTimeout(done, document.hidden ? SLOW_POLL_MS : every_ms));
  }
}

function listen() {
  $("power").onchange = (e) => act("power", {on: e.target.checked});
  $("plug").onclick = () => lastHardware && lastHardware.plugged ? act("unplug", {})
    : act("plug", {cable_a: Number(document.querySelector("[name=cable]:checked").value)});
  for (const radio of document.getElementsByName("car")) radio.onchange = () => act("car", {state: radio.value});
  for (const radio of document.getElementsByName("phases")) radio.onchange = () => act("car", {phases: Number(radio.value)});
  for (const box of document.querySelectorAll("[data-car]")) box.onchange = () => act("car", {[box.dataset.car]: box.checked});
  for (const box of document.querySelectorAll("[data-fault]")) box.onchange = () => act("fault", {name: box.dataset.fault, on: box.checked});
  for (const button of document.querySelectorAll("[data-tap]")) button.onclick = () => act("tap", {uid: button.dataset.tap});
  $("tap").onsubmit = (e) => {
    e.preventDefault();
    act("tap", {uid: $("tap-uid").value.trim()});
  };
  for (const box of document.querySelectorAll("[data-network]")) box.onchange = () => act("network", {[box.dataset.network]: box.checked});
  for (const [id, unit, action, field] of [["draw", "A", "car", "draw_a"], ["heat", "°C", "temperature", "temperature_c"]]) {
    $(id).oninput = () => {
      heldUntil[id] = performance.now() + HOLD_MS;
      $(id + "-out").textContent = $(id).value + " " + unit;
    };
    $(id).onchange = () => act(action, {[field]: Number($(id).value)});
  }
  $("notice-close").onclick = hideNotice;
  document.addEventListener("keydown", (e) => { if (e.key === "Escape") hideNotice(); });
}

async function start() {
  drawLevels();
  listen();
  const facts = await ask("/facts");
  pageUrl = facts.page;
  $("facts").textContent = [facts.id, facts.board, facts.interpreter + " interpreter", "PIN " + facts.pin].join(" · ");
  $("page-link").href = facts.page;
  $("serial-path").textContent = facts.serial;
  watch(POLL_MS, async () => show(await ask("/hardware")));
  watch(SLOW_POLL_MS, async () => showCharger((await ask("/charger")).status));
  watch(SLOW_POLL_MS, showSerial);
}

start();
