"use strict"
// What is behind the PIN: sessions, keys, settings, faults and the log, and the first run. It uses
// what page.js has; tools/page.py treats it in the same way.

texts.push("@TEXTS@")
speak(lang)
const LEARN_S = 60
// The nights, and the whole weekend: outside the hours in which grids carry the most
const OFF_PEAK = "Mo-Su 22:00-06:00; Sa,Su 06:00-22:00"
// The settings of the sections; what none of them has is among the others, but for the PIN.
const NETWORK = ["wifi", "ap", "cloud", "hint", "ntp"]
const TIMES = ["schedule", "timezone", "schedule_no_clock", "random_delay_s"]
const WHO = ["offline_policy", "online_policy", "tap_releases", "back_online", "after_power_cut"]
const CURRENT = ["installation_limit_a", "phases"]
const ELSEWHERE = [...TIMES, ...WHO, ...CURRENT, "pin"]
const DAYS = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"]

function section([name, fill]) {
  const body = h("div", { className: "in" }), summary = h("summary", {}, h("h2", {}, t(name)))
  const load = async () => {
    try {
      const parts = await fill(load)
      body.replaceChildren(...parts.filter(Boolean))
      // What had the focus may be gone.
      if (document.activeElement === document.body) summary.focus()
    } catch (error) {
      if (!error.code) throw error
      if (!status.login) return drawMore()
      body.replaceChildren(h("p", { role: "alert", className: "bad" }, told(error)), button(t("again"), load))
    }
  }
  return h("details", { id: name, ontoggle() {
    if (this.open) {
      body.replaceChildren(t("working"))
      load()
    }
  } }, summary, body)
}

const SECTIONS = [
  ["sessions", () => showSessions()],
  ["keys", reload => showKeys(reload)],
  ["times", () => settingsForm(TIMES, { text: t("times_text") })],
  ["who", () => settingsForm(WHO, { text: t("who_text") })],
  ["current", () => settingsForm(CURRENT, { warn: t("electrician"), confirm: t("current_text") })],
  ["network", () => showNetwork()],
  ["faults", reload => showFaults(reload)],
  ["others", () => settingsForm(null, { text: t("others_text"), confirm: t("others_confirm") })],
  ["charger", () => chargerActions()],
]

// Sessions

async function showSessions() {
  const list = h("ul"), older = button(t("older"), () => load(next).catch(error => older.replaceWith(told(error))))
  let next
  async function load(before) {
    const page = await call("GET", "sessions" + (before ? "?before=" + before : ""))
    for (const one of page.sessions) {
      list.append(h("li", {}, ...(one.energy_wh == null ? [t("unfinished")]
        : [h("b", {}, (one.estimated ? "≈ " : "") + kwh(one.energy_wh)), " · " + time(one.duration_s)]), h("br"),
        one.started_at ? moment(one.started_at) : t("unknown_time", one.boot), one.key ? ` · ${t("key")} ${one.key}` : "",
        one.reason ? h("small", {}, h("br"), sentence(one.reason)) : null))
    }
    next = page.next
    older.hidden = !next
  }
  await load()
  return [list.firstChild ? list : h("p", {}, t("no_sessions")),
    h("p", { className: "row" }, older, h("a", { className: "button", href: "/api/sessions?format=csv", download: "sessions.csv" }, t("csv")))]
}

// Keys

async function showKeys(reload, from = 0) {
  const page = await call("GET", "keys?from=" + from)
  const list = h("ul", {}, ...page.keys.map(key => h("li", {}, h("b", {}, key.label || key.uid), h("br"),
    h("small", {}, [key.label && key.uid, key.parent, key.expires && t("until", key.expires)].filter(Boolean).join(" · ")),
    h("p", { className: "row" }, button(t("edit"), () => editKey(key, reload)), button(t("remove"), () => ask({
      title: t("remove_title", key.label || key.uid), text: t("remove_text"), ok: t("remove"), danger: "danger", after: reload,
      run: () => call("DELETE", "keys", { uid: key.uid }).then(() => null),
    }))))))
  const turn = (label, at) => at >= 0 && at < page.count && at !== from
    && button(label, async () => $("keys").lastChild.replaceChildren(...await showKeys(reload, at)))
  return [h("p", {}, t("keys_count", page.count)),
    h("p", { className: "row" }, button(t("learn"), () => learn(reload), "main"), button(t("type_key"), () => editKey({ uid: "" }, reload))),
    list, h("p", { className: "row" }, turn(t("previous"), from - 20), turn(t("next"), from + 20))]
}

function editKey(key, after) {
  const uid = h("input", { value: key.uid, required: true, maxLength: 29, autocomplete: "off", disabled: !!key.uid })
  const label = h("input", { value: key.label || "", maxLength: 24 })
  const parent = h("input", { value: key.parent || "", maxLength: 20 })
  const expires = h("input", { type: "date", value: key.expires || "" })
  ask({
    title: t("key"), text: t("key_text"), ok: t("save"), after,
    inside: [field(t("uid"), uid), field(t("label"), label), field(t("parent"), parent, t("parent_text")), field(t("expires"), expires)],
    run: () => call("POST", "keys", {
      uid: uid.value, label: label.value, parent: parent.value,
      expires: expires.value || null,
    }).then(() => null),
  })
}

function learn(reload) {
  let found = null, open = true
  const box = ask({
    title: t("learn"), text: t("learn_text", LEARN_S), ok: t("learn_go"),
    async run(say) {
      await call("POST", "keys", { learn: LEARN_S })
      while (open) {
        const page = await call("GET", "keys?from=0")
        if (page.learned) {
          found = page.learned
          return null
        }
        if (!page.learning_s) throw { code: "learn_none" }
        say(t("learn_now", page.learning_s))
        await pause(1000)
      }
      return null
    },
    after() {
      open = false
      if (found) editKey({ uid: found }, reload)
      else {
        call("POST", "keys", { learn: 0 }).catch(() => {})
        reload()
      }
    },
  })
  return box
}

// Settings

// What the charger says of its way to the cloud, in the language of the page.
function trouble(why) {
  const { keys, en } = texts[1], english = en.split("\n")
  for (const [i, key] of keys.split(" ").entries()) {
    if (!key.startsWith("y.")) continue
    const pattern = english[i].replace(/[.?()/]/g, "\\$&").replace(/\{\d\}/g, "(.+?)")
    const found = new RegExp(`^${pattern}$`).exec(why)
    if (found) return t(key, ...found.slice(1))
  }
  return why
}

async function showNetwork() {
  const form = await settingsForm(NETWORK, { text: t("network_text"), confirm: t("network_confirm") })
  const { wifi, cloud, online } = await call("GET", "status")
  const house = t("w." + (wifi ? wifi.house : "none")) + (wifi && wifi.rssi_dbm ? ` (${wifi.rssi_dbm} dBm)` : "")
  return [h("ul", {}, h("li", {}, `${t("house")}: ${house}`), h("li", {}, `${t("cloud")}: `,
    t(online ? "online" : cloud ? "offline" : "no_cloud"), cloud && cloud.why ? h("small", {}, h("br"), trouble(cloud.why)) : null)), ...form]
}

let table = null

async function settings() {
  if (!table) {
    const rows = (await call("GET", "settings")).settings
    table = new Map(rows.map(row => [row.name, row]))
  }
  return table
}

// The control of a setting: {node, value()}
function control(row) {
  const name = row.name, allowed = row.allowed, label = words["n." + name] || name
  const hint = words["n." + name] ? words["h." + name]
    : (words["m." + name] || row.meaning) + (row.unit ? ` (${row.unit})` : "")
  const plain = input => ({ input, node: field(label, input, hint), value: () => input.value })
  if (name === "schedule") return scheduleEditor(label, row.value)
  if (/_policy$/.test(name)) return policyControl(name, label, row.value, allowed)
  if (typeof row.default === "boolean") {
    const input = h("input", { type: "checkbox", checked: row.value })
    return { input, node: field(label, input, hint), value: () => input.checked }
  }
  if (Array.isArray(allowed) && typeof allowed[0] === "string") {
    return plain(select(allowed.map(choice => [choice, words[`c.${name}.${choice}`] || choice]), row.value))
  }
  if (Array.isArray(allowed)) {
    const [min, max, step = 1] = allowed
    if (step > 1) return { ...plain(select([[min, min], [max, max]], row.value)), value() { return Number(this.input.value) } }
    const input = h("input", { type: "number", min, max, step, required: true, value: row.value, inputMode: "numeric" })
    return { ...plain(input), value: () => Number(input.value) }
  }
  if (row.set !== undefined) {
    const input = h("input", { type: "password", maxLength: allowed, autocomplete: "new-password", placeholder: t(row.set ? "is_set" : "not_set") })
    // Without its own password the charger has no WiFi, and nobody could come back to this page.
    const clear = row.set && name !== "ap_password" && h("input", { type: "checkbox" })
    return { input, value: () => clear && clear.checked ? "" : input.value || undefined,
      node: h("div", {}, field(label, input, hint), clear && field(t("clear", label), clear)) }
  }
  const it = plain(h("input", { value: row.value, maxLength: allowed, autocomplete: "off", autocapitalize: "none", spellcheck: false }))
  if (name === "timezone") {
    it.node.append(h("p", { className: "row" }, button(t("this_zone"), () => { it.input.value = zoneRule() })))
  }
  return it
}

const fieldError = error => `${words["n." + error.field] || error.field}: ${error.text.replace(error.field + " ", "")}`

const network = row => NETWORK.indexOf(row.name.split("_")[0])

// `names`: a list, or NETWORK, or null for what no other section has
async function settingsForm(names, { text, warn, confirm }) {
  const all = await settings()
  const rows = names === NETWORK ? [...all.values()].filter(row => network(row) >= 0).sort((a, b) => network(a) - network(b))
    : names ? names.map(name => all.get(name)).filter(Boolean)
      : [...all.values()].filter(row => network(row) < 0 && !ELSEWHERE.includes(row.name))
  const controls = rows.map(control)
  const said = h("p", { role: "status", className: "said" }), bad = h("p", { role: "alert", className: "bad" })
  const changes = () => Object.fromEntries(rows.map((row, i) => [row.name, controls[i].value()])
    .filter(([name, value]) => value !== undefined && value !== all.get(name).value))
  async function save(changed) {
    const answer = await call("PUT", "settings", changed)
    for (const name in changed) {
      const row = all.get(name)
      if (row.set === undefined) row.value = changed[name]
      else row.set = changed[name] !== ""
    }
    return t(answer.restart ? "saved_restart" : "saved")
  }
  const form = h("form", { async onsubmit(event) {
    event.preventDefault()
    said.textContent = bad.textContent = ""
    form.querySelectorAll("[aria-invalid]").forEach(input => input.removeAttribute("aria-invalid"))
    const changed = changes()
    const policy = changed.offline_policy || changed.online_policy || ""
    if (/schedule$/.test(policy) && !all.get("schedule").value) return void (bad.textContent = t("needs_times"))
    if (!Object.keys(changed).length) return void (said.textContent = t("no_change"))
    const run = () => save(changed).catch(error => {
      const at = rows.findIndex(row => row.name === error.field)
      if (at >= 0) {
        const input = controls[at].input || controls[at].node.querySelector("input")
        input.setAttribute("aria-invalid", true)
        input.focus()
        const [least, most] = rows[at].allowed || []
        error = { code: "", text: typeof most === "number" ? t("range", least, most, rows[at].unit) : fieldError(error) }
      }
      throw error
    })
    if (confirm) return void ask({ title: t("save"), text: confirm, ok: t("save"), run })
    try {
      said.textContent = await run()
    } catch (error) {
      if (!status.login) return drawMore()
      bad.textContent = told(error)
    }
  } }, ...controls.map(one => one.node), said, bad, h("p", { className: "row" }, h("button", { className: "main" }, t("save"))))
  return [text && h("p", {}, text), warn && h("p", { className: "warn" }, warn), form]
}

// Who may charge: one of `open`, `any_key`, `known_key`, `cloud`, and whether the schedule counts too
function policyControl(name, label, value, allowed) {
  const timed = /schedule$/.test(value), who = value.replace(/\+?schedule$/, "") || "open"
  const choices = ["open", "any_key", "known_key", "cloud"].filter(choice => allowed.includes(choice))
  const times = h("input", { type: "checkbox", checked: timed })
  let picked = who
  const radios = choices.map(choice => field(t("p." + choice), h("input", {
    type: "radio", name, value: choice, checked: choice === who, onchange() { picked = choice } }), t("ph." + choice)))
  return {
    input: times,
    node: h("fieldset", {}, h("legend", {}, label), ...radios, field(t("with_times"), times)),
    value: () => !times.checked ? picked : picked === "open" ? "schedule" : picked + "+schedule",
  }
}

// The weekly schedule. Each window has days, a start and an end; the text is the one that
// firmware/access/schedule_text.py reads. A text that this editor cannot show is edited as it is.

function scheduleEditor(label, text) {
  const windows = readSchedule(text)
  if (!windows) {
    const input = h("input", { value: text, maxLength: 256 })
    return { input, node: field(label, input), value: () => input.value }
  }
  const list = h("div"), shown = h("small")
  const draw = (focus) => {
    list.replaceChildren(...windows.map((one, i) => {
      const clock = key => h("input", { type: "time", required: true, value: one[key], oninput() { one[key] = this.value; check() } })
      const start = clock("start"), end = clock("end")
      const check = () => {
        end.setCustomValidity(one.days ? one.start === one.end && one.end !== "00:00" ? t("no_length") : "" : t("no_day"))
        say()
      }
      return h("fieldset", {}, h("legend", {}, t("window", i + 1)), h("div", { className: "days" }, ...DAYS.map((day, n) =>
        h("label", {}, h("input", { type: "checkbox", checked: one.days >> n & 1, onchange() { one.days ^= 1 << n; check() } }),
          dayName(n)))),
        h("div", { className: "times" }, field(t("from"), start), field(t("to"), end)),
        h("p", { className: "row" }, button(t("remove_window"), () => { windows.splice(i, 1); draw(add) })))
    }))
    say()
    if (focus) focus.focus()
  }
  const say = () => set(shown, writeSchedule(windows) || t("always"))
  const add = button(t("add_window"), () => {
    windows.push({ days: 31, start: "22:00", end: "06:00" })
    draw()
    list.lastChild.querySelector("input").focus()
  })
  const node = h("fieldset", { className: "plain" }, h("legend", {}, label), list, h("p", { className: "row" }, add,
    button(t("off_peak"), () => { windows.splice(0, windows.length, ...readSchedule(OFF_PEAK)); draw() })), shown)
  draw()
  return { input: add, node, value: () => writeSchedule(windows) }
}

// 2 January 2023 was a Monday.
const dayName = n => new Date(2023, 0, 2 + n).toLocaleDateString(lang, { weekday: "short" }).slice(0, 2)

// [{days (bit 0: Monday), start, end}], or null for a text in which something else stands
function readSchedule(text) {
  const windows = []
  for (const entry of text.split(";")) {
    if (!entry.trim()) continue
    const [, dayText, times] = /^\s*([A-Za-z, -]*?)\s*(\d.*)$/.exec(entry) || []
    if (!times) return null
    let days = dayText ? 0 : 127
    for (const range of dayText ? dayText.split(",") : []) {
      const [first, last] = range.split("-").map(day => DAYS.findIndex(name => name.toLowerCase() === day.trim().toLowerCase()))
      if (first < 0 || last < 0) return null
      for (let day = first; ; day = (day + 1) % 7) {
        days |= 1 << day
        if (day === (last === undefined ? first : last)) break
      }
    }
    for (const window of times.split(",")) {
      const [, h1, m1, h2, m2] = /^\s*(\d+):(\d+)\s*-\s*(\d+):(\d+)\s*$/.exec(window) || []
      if (!m2) return null
      windows.push({ days, start: two(+h1) + ":" + two(+m1), end: two(h2 % 24) + ":" + two(+m2) })
    }
  }
  return windows
}

function writeSchedule(windows) {
  const entries = []
  for (const { days, start, end } of windows) {
    if (!days) continue
    const text = `${start}-${end === "00:00" ? "24:00" : end}`
    const same = entries.find(entry => entry.days === days)
    if (same) same.text += ", " + text
    else entries.push({ days, text })
  }
  return entries.map(({ days, text }) => writeDays(days) + " " + text).join("; ")
}

function writeDays(days) {
  const parts = []
  for (let day = 0; day < 7; day++) {
    if (!(days >> day & 1)) continue
    let last = day
    while (days >> last + 1 & 1) last++
    parts.push(DAYS[day] + (last > day ? (last > day + 1 ? "-" : ",") + DAYS[last] : ""))
    day = last
  }
  return parts.join()
}

// This phone's time zone as a POSIX rule, from the changes that its clock makes this year. Where the
// law counts Saturdays for a change on Sunday at 0:00 (Chile), it is a week off in one year of seven.

function zoneRule(year = new Date().getFullYear()) {
  const STEP = 1800000
  const east = at => -new Date(at).getTimezoneOffset()
  const written = minutes => {
    const size = Math.abs(minutes)
    return (minutes > 0 ? "-" : "") + Math.floor(size / 60) + (size % 60 ? ":" + two(size % 60) : "")
  }
  const changes = []
  for (let at = Date.UTC(year, 0, 1); at < Date.UTC(year + 1, 0, 1); at += STEP) {
    if (east(at) !== east(at - 1)) changes.push(at)
  }
  if (changes.length !== 2) return "STD" + written(east(Date.now()))
  const summer = east(changes[0]) > east(changes[0] - 1) ? 0 : 1
  const rule = at => {
    const local = new Date(at + east(at - 1) * 60000), day = local.getUTCDate()
    const length = new Date(Date.UTC(year, local.getUTCMonth() + 1, 0)).getUTCDate()
    const week = day + 7 > length ? 5 : Math.ceil(day / 7)
    return `,M${local.getUTCMonth() + 1}.${week}.${local.getUTCDay()}/${written(-local.getUTCHours() * 60 - local.getUTCMinutes())}`
  }
  const start = changes[summer], end = changes[1 - summer]
  return `STD${written(east(end))}DST${written(east(start))}${rule(start)}${rule(end)}`
}

// Faults, the log, the charger itself

async function showFaults(reload) {
  const events = [], counters = {}, log = h("ul", { className: "log" })
  let next
  const [whole] = await Promise.all([call("GET", "status"), poll()])
  async function load() {
    const page = await call("GET", "events" + (next ? "?before=" + next : ""))
    for (const event of page.events) {
      const { seq, utc, kind, boot, uptime_s, quality, code, by, ...rest } = event
      events.push(event)
      // Each record of a fault says how often it has come since the start; the newest stands first.
      if (kind === "fault" && boot === status.boot) counters[code] = counters[code] || rest.count
      log.append(h("li", {}, [utc || `#${boot} +${uptime_s} s`, kind || "lost",
        code, by, ...Object.values(rest)].filter(part => part != null && part !== "").join(" ")))
    }
    next = page.next
    older.hidden = !next
  }
  const older = button(t("older"), () => load().catch(error => older.replaceWith(told(error))))
  do await load()
  while (next && events.length < 100 && events[events.length - 1].boot === status.boot)
  const counted = Object.entries(counters)
  const support = h("a", { className: "button", download: status.id + ".json", href: "#", onclick() {
    const all = { status: whole, events, settings: table && [...table.values()] }
    this.href = URL.createObjectURL(new Blob([JSON.stringify(all, null, 1)], { type: "application/json" }))
  } }, t("support"))
  return [
    status.faults.length ? h("ul", {}, ...status.faults.map(code => h("li", { className: "bad" }, sentence(code))))
      : h("p", {}, t("no_faults")),
    h("p", { className: "row" }, status.faults.length > 0 && button(t("again_faults"), () => startOrStop("start"), "main"),
      button(t("refresh"), reload)),
    h("h3", {}, t("counters")),
    counted.length ? h("ul", {}, ...counted.map(([code, n]) => h("li", {}, `${n} × `, sentence(code)))) : h("p", {}, t("none")),
    h("h3", {}, t("log")), h("small", {}, t("log_text")), log, h("p", { className: "row" }, older, support),
  ]
}

function chargerActions() {
  const restart = () => ask({ title: t("restart"), text: t("restart_text"), ok: t("restart"), danger: "danger",
    run: () => call("POST", "restart").then(() => t("restarts")) })
  const changePin = () => {
    const pin = pinInput({ type: "text", autocomplete: "off" })
    ask({ title: t("new_pin"), text: t("new_pin_text"), inside: [field(t("new_pin"), pin, t("pin_hint"))], ok: t("save"),
      run: async () => {
        await call("PUT", "settings", { pin: pin.value })
        await login(pin.value)
        return t("saved")
      } })
  }
  const bad = h("p", { role: "alert", className: "bad" })
  const leave = () => call("POST", "logout").then(poll).catch(error => { bad.textContent = told(error) })
  return [bad, h("p", { className: "row" }, button(t("restart"), restart), button(t("new_pin"), changePin), button(t("logout"), leave))]
}

// First run: four steps, sent as one

function setUp(more) {
  table = null
  const pin = pinInput({ type: "text", autocomplete: "off" })
  const limit = h("input", { type: "number", min: 6, max: 80, step: 1, required: true, inputMode: "numeric", value: 16 })
  const phases = select([[1, "1"], [3, "3"]], 3)
  const sure = h("input", { type: "checkbox", required: true })
  const text = (longest, more) => h("input", { maxLength: longest, autocomplete: "off", autocapitalize: "none", spellcheck: false, ...more })
  const ssid = text(32), password = text(63, { type: "password" })
  const host = text(64), user = text(64), secret = text(64, { type: "password" })
  const policy = policyControl("offline_policy", t("who"), "open", ["open", "any_key", "known_key"])
  const schedule = scheduleEditor(t("n.schedule"), OFF_PEAK)
  const sched = h("div", { hidden: true }, schedule.node)
  policy.input.onchange = () => { sched.hidden = !policy.input.checked }
  const said = h("p", { role: "status", className: "said" }), bad = h("p", { role: "alert", className: "bad" })

  const steps = [
    ["setup_pin", h("p", {}, t("setup_pin_text")), field(t("pin"), pin, t("pin_hint"))],
    ["setup_current", h("p", { className: "warn" }, t("electrician")), field(t("n.installation_limit_a"), limit, t("h.installation_limit_a")),
      field(t("n.phases"), phases), field(t("sure"), sure)],
    ["setup_network", h("p", {}, t("setup_network_text")), field(t("n.wifi_ssid"), ssid), field(t("n.wifi_password"), password),
      h("details", {}, h("summary", {}, t("operator")), h("div", { className: "in" }, field(t("n.cloud_host"), host),
        field(t("n.cloud_user"), user), field(t("n.cloud_password"), secret)))],
    ["setup_policy", h("p", {}, t("setup_policy_text")), policy.node, sched],
  ].map(([name, ...inside], i) => h("fieldset", { className: "plain", disabled: i > 0, hidden: i > 0 },
    h("legend", {}, h("h2", { tabIndex: -1 }, t("step_of", i + 1, 4, t(name)))), ...inside))
  let at = 0
  const back = button(t("back"), () => turn(-1)), go = h("button", { className: "main" }, t("next"))
  const turn = by => {
    at += by
    steps.forEach((step, i) => { step.hidden = step.disabled = i !== at })
    back.hidden = at === 0
    set(go, t(at === 3 ? "finish" : "next"))
    bad.textContent = ""
    steps[at].querySelector("h2").focus()
  }
  back.hidden = true
  more.replaceChildren(h("form", { className: "card", async onsubmit(event) {
    event.preventDefault()
    if (at < 3) return turn(1)
    const values = {
      installation_limit_a: Number(limit.value), phases: Number(phases.value), timezone: zoneRule(),
      offline_policy: policy.value(), online_policy: policy.value(),
      wifi_ssid: ssid.value, wifi_password: password.value,
      cloud_host: host.value, cloud_user: user.value, cloud_password: secret.value,
    }
    if (policy.input.checked) values.schedule = schedule.value()
    said.textContent = t("working")
    try {
      const answer = await call("POST", "setup", { pin: pin.value, settings: values })
      status.setup = false
      await loggedIn()
      // A network or a cloud where there was none: the charger begins anew with it.
      if (answer.restart) {
        await call("POST", "restart")
        drawn = moreFor()
        return void more.replaceChildren(h("p", { role: "status", className: "card" }, `${t("setup_done")} ${t("restarts")}`))
      }
      await openMore()
      $("more").prepend(h("p", { role: "status", className: "card" }, t("setup_done")))
      $("more").querySelector("summary").focus()
    } catch (error) {
      said.textContent = ""
      bad.textContent = error.field ? fieldError(error) : told(error)
    }
  } }, ...steps, said, bad, h("p", { className: "row" }, back, go)))
}

