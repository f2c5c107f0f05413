"use strict";
/* The live page: reads only. A token, where one is needed, is kept for this tab alone. */
(() => {
  const at = id => document.getElementById(id);
  let token = sessionStorage.getItem("token") || "";
  let before = null;

  const headers = () => token ? { Authorization: "Bearer " + token } : {};

  const get = async path => {
    const answer = await fetch(path, { headers: headers() });
    if (!answer.ok) throw Object.assign(new Error(path + ": " + answer.status), { status: answer.status });
    return answer.json();
  };

  const cell = (kind, text, right) => {
    const element = document.createElement(kind);
    element.textContent = text === undefined || text === null || text === "" ? "\u2013" : String(text);
    if (right) element.className = "n";
    return element;
  };

  /* columns: [title, function of the row, is it a number] */
  const table = (id, rows, columns, none) => {
    const out = at(id), head = document.createElement("tr");
    out.replaceChildren();
    if (!rows.length) {
      const row = document.createElement("tr"), empty = cell("td", none);
      empty.className = "none";
      row.append(empty);
      out.append(row);
      return;
    }
    for (const [title, , right] of columns) head.append(cell("th", title, right));
    out.append(head);
    for (const item of rows) {
      const row = document.createElement("tr");
      for (const [, value, right] of columns) row.append(cell("td", value(item), right));
      out.append(row);
    }
  };

  const number = n => n === undefined ? "\u2013" : n.toLocaleString("en", { maximumFractionDigits: n < 10 ? 1 : 0 });

  const bytes = n => {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let unit = 0;
    while (n >= 1000 && unit < units.length - 1) {
      n /= 1000;
      unit++;
    }
    return n.toLocaleString("en", { maximumFractionDigits: unit && n < 100 ? 1 : 0 }) + " " + units[unit];
  };

  const duration = s => s < 120 ? s + " s" : s < 7200 ? Math.round(s / 60) + " min" : s < 172800 ? Math.round(s / 3600) + " h" : Math.round(s / 86400) + " d";

  /* Sums over labels: "name{worker=…}" counts to "name". */
  const counter = (status, name) => Object.entries(status.counters || {})
    .filter(([key]) => key === name || key.startsWith(name + "{"))
    .reduce((sum, [, value]) => sum + value, 0);

  const rates = [["received", "zmanager_subject_received_total"], ["actions run", "zmanager_worker_calls_total"],
    ["published", "zmanager_integration_published_total"], ["stored", "zmanager_queue_put_total"], ["HTTP requests", "zmanager_http_requests_total"]];

  const tile = (name, value) => {
    const out = document.createElement("div"), strong = document.createElement("b"), small = document.createElement("span");
    out.className = "tile";
    strong.textContent = value;
    small.textContent = name;
    out.append(strong, small);
    return out;
  };

  const show = status => {
    const now = performance.now(), tiles = [];
    at("login").hidden = true;
    at("node").textContent = status.node + " " + status.version;
    at("state").textContent = status.state;
    at("state").className = "state " + status.state;
    at("reasons").replaceChildren(...(status.reasons || []).map(text => cell("li", text)));
    for (const [name, key] of rates) {
      const value = counter(status, key);
      const rate = before && now > before.now ? (value - before[key]) * 1000 / (now - before.now) : undefined;
      tiles.push(tile(name + " /s", number(rate)));
    }
    before = Object.fromEntries([["now", now], ...rates.map(([, key]) => [key, counter(status, key)])]);
    tiles.push(tile("up", duration(status.uptime_s)));
    tiles.push(tile("flows", number((status.table || {}).flows)));
    at("tiles").replaceChildren(...tiles);
    at("foot").textContent = "pid " + status.pid + " \u00b7 " + status.directory;
  };

  const lists = async () => {
    const [queues, plugins, routes] = await Promise.all([get("/v1/queues"), get("/v1/plugins"), get("/v1/routes")]);
    table("queues", queues.queues, [["name", q => q.name], ["messages", q => number(q.messages), true],
      ["size", q => bytes(q.bytes), true]], "no queues");
    table("plugins", plugins.plugins, [["name", p => p.name], ["version", p => p.version], ["state", p => p.state],
      ["generation", p => p.generation, true]], "no plugins");
    table("routes", routes.routes, [["key", r => r.key], ["plugin", r => r.plugin], ["calls", r => number(r.calls), true],
      ["errors", r => number(r.errors), true], ["mean \u00b5s", r => r.calls && !r.mean_us ? "< 1" : number(r.mean_us), true]], "no mappings");
  };

  const lost = text => {
    at("state").textContent = text;
    at("state").className = "state lost";
  };

  const ask = text => {
    at("all").hidden = true;
    at("login").hidden = false;
    at("why").textContent = text;
    lost("a token is needed");
  };

  /* Server-sent events by fetch, as EventSource cannot send a token. */
  const follow = async () => {
    const answer = await fetch("/v1/live", { headers: headers() });
    if (!answer.ok) throw Object.assign(new Error("status " + answer.status), { status: answer.status });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (text + value).split("\n\n");
      text = parts.pop();
      for (const part of parts) {
        const data = part.split("\n").filter(line => line.startsWith("data: ")).map(line => line.slice(6)).join("\n");
        if (data && part.includes("event: status")) {
          show(JSON.parse(data));
          /* Shown when there is something to see in the tables. */
          lists().catch(() => {}).then(() => { at("all").hidden = !at("login").hidden; });
        }
      }
    }
  };

  const run = async () => {
    for (;;) {
      try {
        await follow();
        lost("the daemon ended the stream");
      } catch (error) {
        if (error.status === 401 || error.status === 403) {
          ask(token ? "This token is not taken." : "");
          return;
        }
        lost("no connection");
      }
      await new Promise(done => setTimeout(done, 2000));
    }
  };

  at("login").addEventListener("submit", event => {
    event.preventDefault();
    token = at("token").value.trim();
    sessionStorage.setItem("token", token);
    run();
  });
  run();
})();
