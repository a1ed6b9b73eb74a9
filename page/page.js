"use strict"
// What anyone sees who joins the charger's WiFi: what it is doing and why, and the buttons. It asks
// for the status every two seconds and shows what it says. Whatever changes something goes through
// one dialog (`ask`), which says what will happen and takes the PIN. What is behind the PIN is in
// more.js, loaded when somebody wants it: who frees a cable over a weak WiFi need not wait for it.
// tools/page.py removes lines that are comments and puts the texts of texts/*.json in.

const TEXTS = "@TEXTS@"
const LANGUAGES = { en: "English", nb: "Norsk", de: "Deutsch" }
const POLL_MS = 2000, SLOWEST_MS = 8000, PATIENCE_MS = 5000, UNLOCK_MS = 30000

const WISHES = navigator.languages || [navigator.language]

const $ = id => document.getElementById(id)
const pause = ms => new Promise(done => setTimeout(done, ms))
const texts = [TEXTS]
let lang = "en", locale = lang, words = {}, status = null

// Texts

function speak(wanted) {
  lang = wanted
  words = {}
  for (const part of texts) {
    const values = part[lang].split("\n")
    part.keys.split(" ").forEach((key, i) => { words[key] = values[i] })
  }
  // Dates and numbers as in the phone's own country: 14:00 or 2 p.m.
  locale = WISHES.find(one => one.startsWith(lang)) || lang
  document.documentElement.lang = lang
}

function chosenLanguage() {
  const wishes = [...WISHES]
  try { wishes.unshift(localStorage.language) } catch {}
  for (const wish of wishes) {
    const short = String(wish).slice(0, 2).replace(/^n[on]/, "nb")
    if (LANGUAGES[short]) return short
  }
  return "en"
}

const t = (key, ...values) => (words[key] || key).replace(/\{(\d)\}/g, (_, i) => values[i])

// The sentence of a code; a time that the charger has put behind its own sentence stays there.
function sentence(code, text) {
  const when = /, (\d\d:\d\d|\d+ s)\.$/.exec(text || "")
  return words[code] ? when ? words[code].slice(0, -1) + when[0] : words[code] : text || code
}

const number = (value, digits) =>
  value.toLocaleString(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits })
const kwh = wh => number(wh / 1000, 2) + " kWh"
const two = n => String(n).padStart(2, "0")
const time = s => s == null ? "–" : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`
const moment = utc => new Date(utc).toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" })

// Elements

function h(tag, props, ...inside) {
  const node = document.createElement(tag)
  for (const name in props) {
    if (name in node) node[name] = props[name]
    else node.setAttribute(name, props[name])
  }
  node.append(...inside.filter(part => part != null && part !== false))
  return node
}

function set(id, text) {
  const node = typeof id === "string" ? $(id) : id
  if (node.textContent !== text) node.textContent = text
}

let count = 0
function field(label, input, hint) {
  input.id = "f" + ++count
  const check = input.type === "checkbox" || input.type === "radio"
  const name = h("label", { htmlFor: input.id }, label)
  const note = hint && h("small", { id: input.id + "h" }, hint)
  if (hint) input.setAttribute("aria-describedby", note.id)
  if (check) {
    return h("div", { className: "check" }, input, h("span", {}, name, note))
  }
  return h("div", { className: "field" }, name, note, input)
}

const button = (label, onclick, className) => h("button", { type: "button", onclick, className: className || "" }, label)

function pinInput(more) {
  return h("input", {
    type: "password", inputMode: "numeric", pattern: "[0-9]{4,12}", maxLength: 12, required: true,
    autocomplete: "current-password", title: t("pin_hint"), ...more,
  })
}

function select(choices, value) {
  const node = h("select", {}, ...choices.map(([choice, label]) => h("option", { value: choice }, label)))
  node.value = value
  return node
}

// The charger

async function call(method, path, body, patience = 15000, tries = 3) {
  const end = new AbortController()
  const timer = setTimeout(() => end.abort(), patience)
  let answer, data
  try {
    answer = await fetch("/api/" + path, {
      method, cache: "no-store", signal: end.signal, body: body && JSON.stringify(body),
      headers: body ? { "Content-Type": "application/json" } : {},
    })
    data = await answer.json().catch(cut => {
      if (answer.ok) throw cut
      return {}
    })
  } catch {
    // Where memory was too short even to say so, the connection has just ended.
    if (method === "GET" && tries > 1 && !end.signal.aborted) return pause(700).then(() => call(method, path, body, patience, tries - 1))
    throw { code: "no_answer" }
  } finally {
    clearTimeout(timer)
  }
  if (answer.ok) return data
  // The charger does one thing at a time where memory is short: it has said so before it began.
  if (answer.status === 503 && tries > 1) return pause(700).then(() => call(method, path, body, patience, tries - 1))
  if (answer.status === 401 && path !== "login" && status) status.login = false
  throw { code: data.error, text: data.reason, status: answer.status, field: data.field, wait: data.wait_s }
}

const told = error => error.wait ? t("wait", error.wait)
  : words["e." + error.code] || sentence(error.code, error.text || error.message)

async function login(pin) {
  await call("POST", "login", { pin })
  await loggedIn()
}

async function loggedIn() {
  polls++ // an answer that is on its way was asked for before
  status.login = true
  // A phone knows the time better than a charger that was just switched on.
  await setClock().catch(() => {})
  poll()
}

const setClock = () => call("POST", "clock", { utc: new Date().toISOString().slice(0, 19) + "Z" })

// The status

let timer = 0, polls = 0, wait = POLL_MS, answeredAt = null

// Only the answer to the last question counts, in whatever order answers come.
async function poll() {
  const mine = ++polls
  clearTimeout(timer)
  try {
    const answer = await call("GET", "status?brief", undefined, PATIENCE_MS)
    if (mine !== polls) return
    status = answer
    wait = POLL_MS
    answeredAt = new Date()
    $("lost").hidden = true
    $("now").classList.remove("lost")
    show()
  } catch (error) {
    if (!error.code) throw error
    if (mine !== polls) return
    wait = Math.min(wait * 2, SLOWEST_MS)
    set("lost", told(error) + (answeredAt ? " " + t("as_of", answeredAt.toLocaleTimeString(locale)) : ""))
    $("lost").hidden = false
    $("now").classList.add("lost")
  } finally {
    if (mine === polls && !document.hidden) timer = setTimeout(poll, wait)
  }
}

function show() {
  const s = status, cable = s.cable, session = s.session, setup = s.setup
  set("id", s.id)
  document.title = `${s.id}: ${t("s." + s.state)}`
  set("state", t("s." + s.state))
  set("why", sentence(s.reason.code, s.reason.text))
  const also = s.faults.filter(code => code !== s.reason.code).map(code => sentence(code))
  if (s.tap && s.tap.code !== s.reason.code) also.unshift(sentence(s.tap.code, s.tap.text))
  if (s.notice) also.push(s.notice)
  if ($("also").innerText !== also.join("\n")) $("also").replaceChildren(...also.map(text => h("p", {}, text)))
  $("now").className = s.state
  document.body.className = cable.locked || s.faults.length ? "held" : ""

  const rows = [[t("cable"), cable.plugged ? (cable.rating_a ? cable.rating_a + " A, " : "")
    + t(cable.locked ? "locked" : "unlocked") : t("no_cable")]]
  if (session) {
    rows.push([t("energy"), (session.estimated ? "≈ " : "") + kwh(session.energy_wh)], [t("duration"), time(session.duration_s)])
    if (s.power_w) rows.push([t("power"), number(s.power_w / 1000, 1) + " kW"])
    if (session.key) rows.push([t("key"), session.key])
  }
  rows.push([t("limit"), s.limit_a + " A"], [t("cloud"), t(s.online ? "online" : s.has_cloud ? "offline" : "no_cloud")])
  const facts = $("facts")
  facts.hidden = setup
  rows.forEach(([name, value], i) => {
    const row = facts.children[i] || facts.appendChild(h("div", {}, h("dt"), h("dd")))
    set(row.firstChild, name)
    set(row.lastChild, value)
  })
  while (facts.children.length > rows.length) facts.lastChild.remove()

  $("free").hidden = setup
  const going = session && s.state !== "Finishing"
  const acts = []
  if (!setup && cable.plugged && s.state !== "Charging" && s.state !== "SuspendedEV") acts.push("start")
  if (!setup && going) acts.push("stop")
  if ($("acts").dataset.now !== acts.join()) {
    const held = $("acts").contains(document.activeElement)
    $("acts").dataset.now = acts.join()
    $("acts").replaceChildren(...acts.map(name => button(t(name), () => startOrStop(name))))
    if (held) ($("acts").firstChild || $("free").lastElementChild).focus()
  }

  set("foot", "")
  $("foot").append(h("p", {}, s.clock.utc ? `${moment(s.clock.utc)} (${t("q." + s.clock.quality)})` : t("no_clock")),
    h("p", {}, "Holdfast " + s.firmware))
  if (drawn !== moreFor()) drawMore()
}

// One dialog for all that changes something. `run` gets a function that says how it is going; what
// it returns is the last word, nothing closes the dialog at once.

function ask({ title, text, inside = [], ok, danger, run, after }) {
  let busy = false, over = false
  const pin = pinInput(), pinField = field(t("pin"), pin)
  const needsPin = () => { pin.disabled = pinField.hidden = status.login }
  const said = h("p", { role: "status", className: "said" }), bad = h("p", { role: "alert", className: "bad" })
  const go = h("button", { className: danger || "main" }, ok)
  const no = button(t("cancel"), () => box.close())
  const heading = h("h2", { id: "ask" }, title), about = h("p", { id: "about" }, text)
  const body = h("div", {}, ...inside, pinField)
  const form = h("form", { async onsubmit(event) {
    event.preventDefault()
    if (busy) return
    if (over) return box.close()
    busy = true
    bad.textContent = ""
    go.setAttribute("aria-disabled", true)
    set(no, t("close"))
    try {
      if (!status.login) {
        said.textContent = t("checks_pin")
        await login(pin.value)
        drawMore()
      }
      said.textContent = t("working")
      needsPin()
      const last = await run(text => set(said, text))
      if (last == null) box.close()
      else {
        over = true
        set(heading, last)
        about.remove()
        body.remove()
        said.textContent = ""
        no.remove()
        set(go, t("close"))
        go.className = "main"
        go.focus()
      }
    } catch (error) {
      said.textContent = ""
      bad.textContent = told(error)
      needsPin()
      if (status.login) set(go, t("again"))
      else {
        drawMore()
        pin.value = ""
        pin.focus()
      }
    }
    busy = false
    go.removeAttribute("aria-disabled")
    poll()
  } }, h("div", { role: "status" }, heading), about, body, said, bad, h("p", { className: "row" }, go, no))
  const box = h("dialog", { "aria-labelledby": "ask", "aria-describedby": "about", onclose() {
    box.remove()
    if (after) after()
  } }, form)
  needsPin()
  document.body.append(box)
  box.showModal()
  const first = form.querySelector("input:enabled,select")
  ;(first || go).focus()
  return box
}

function startOrStop(name) {
  ask({ title: t(name), text: t(name + "_text"), ok: t(name), run: () => call("POST", name).then(() => null) })
}

// Frees the cable. The steps that the charger goes through are read from its status meanwhile.

async function free(event) {
  event.preventDefault()
  if (!status) await poll()
  if (!status) return $("free").submit() // the charger's own form may fare better
  const cable = status.cable, had = status.session && status.state !== "Finishing"
  const names = [had && "step_end", status.contactor && "step_open", "step_lock"].filter(Boolean)
  const steps = h("ol", { hidden: true }, ...names.map(name => h("li", {}, t(name))))
  ask({
    title: t("free"), ok: t("free_now"), danger: "now", inside: [steps],
    text: t(had || status.contactor ? "free_charging" : cable.plugged ? "free_text" : "free_empty"),
    async run(say) {
      let working = true
      const watch = async () => {
        while (working) {
          const at = names.findIndex(name => name === "step_end" ? status.session && status.state !== "Finishing"
            : name === "step_open" ? status.contactor : true)
          steps.hidden = false
          ;[...steps.children].forEach((step, i) => {
            set(step, (i < at ? "✓ " : "") + t(names[i]))
            if (i === at) step.setAttribute("aria-current", "step")
            else step.removeAttribute("aria-current")
          })
          say(t(names[at] + "_now"))
          await pause(600)
          if (working) await poll()
        }
      }
      watch()
      try {
        await call("POST", "unlock", {}, UNLOCK_MS)
      } catch (error) {
        steps.hidden = true
        throw error
      } finally {
        working = false
      }
      return t("freed")
    },
  })
}

// What is behind the PIN: a form that asks for it, or what more.js draws

let opened = false, loading = null, drawn = ""
const moreFor = () => [lang, status.setup, status.login].join()

function loadMore() {
  loading = loading || new Promise((done, failed) => document.head.append(h("script", {
    src: "/more.js", onload: done, onerror() {
      loading = null
      failed({ code: "no_answer" })
    },
  })))
  return loading
}

async function openMore() {
  await loadMore()
  drawn = moreFor()
  if (status.setup) return setUp($("more"))
  opened = true
  $("more").replaceChildren(...SECTIONS.map(section))
}

function drawMore() {
  drawn = moreFor()
  opened = opened && status.login
  if (opened) return openMore()
  const bad = h("p", { role: "alert", className: "bad" }), open = status.login || status.setup
  const pin = open ? null : pinInput()
  const form = h("form", { className: "card", async onsubmit(event) {
    event.preventDefault()
    bad.textContent = ""
    try {
      if (pin && !status.login) await login(pin.value)
      await openMore()
      $("more").querySelector("summary,input").focus()
    } catch (error) {
      bad.textContent = told(error)
      if (pin) pin.select()
    }
  } }, h("h2", {}, t(status.setup ? "welcome" : "more")), pin && field(t("pin"), pin, t("pin_why")), bad,
  h("p", { className: "row" }, h("button", { className: "main" }, t(status.setup ? "begin" : pin ? "login" : "open"))))
  $("more").replaceChildren(form)
}

// The start

function draw() {
  const choice = $("language")
  choice.replaceChildren(...Object.entries(LANGUAGES).map(([value, name]) => h("option", { value, lang: value }, name)))
  choice.value = lang
  choice.setAttribute("aria-label", t("language"))
  choice.hidden = false
  $("free").lastElementChild.textContent = t("free")
  $("acts").dataset.now = ""
  if (status) show()
}

$("language").onchange = function () {
  speak(this.value)
  try { localStorage.language = lang } catch {}
  draw()
}
// Without dialogs (a phone from before 2022) the form asks for the PIN on a page of its own.
if (window.HTMLDialogElement) $("free").onsubmit = free
document.addEventListener("visibilitychange", () => document.hidden ? clearTimeout(timer) : poll())
speak(chosenLanguage())
draw()
poll()
