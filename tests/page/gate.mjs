// A scoregate under test, its replicas and its clients, for the test of the page. Everything on free ports of 127.0.0.1.
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import os from "node:os";
import path from "node:path";

const binary = process.env.SCOREGATE_BINARY;
const patience = 15000;

// A model: answers each request when `delay()` ms are over, with 503 to its probes while it is not `well`.
export class Model {
  well = true;
  delay = () => 5;

  static async listen() {
    const model = new Model();
    model.server = http.createServer((request, reply) => {
      request.resume();
      request.on("end", () => {
        if (request.url === "/health") return reply.writeHead(model.well ? 200 : 503).end();
        if (!model.well) return request.socket.destroy();
        setTimeout(() => reply.writeHead(200, { "content-type": "application/json" }).end("[1]"), model.delay());
      });
    });
    await new Promise(done => model.server.listen(0, "127.0.0.1", done));
    model.url = `http://127.0.0.1:${model.server.address().port}`;
    return model;
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

export const service = (...models) => ({
  auth_mode: "none",
  deployments: { blue: {
    replicas: models.map(each => each.url),
    request_settings: { max_concurrent_requests_per_instance: 4 },
    readiness_probe: { path: "/health", initial_delay: 0, period: 1, timeout: 1, failure_threshold: 1 },
  } },
});

// days: how long it is valid; or from when to when, counted from now, which only a CA can do.
function makeCertificate(folder, days) {
  if (!Array.isArray(days)) {
    execFileSync(binary, ["cert", "dev", "--out", folder, "--cname", "localhost", "--days", String(days)]);
    return;
  }
  execFileSync("/usr/bin/python3", ["-c", `
import pathlib, shutil, sys
import pem
folder = pathlib.Path(sys.argv[1])
pair = pem.Authority(folder).issue("localhost", days=(int(sys.argv[2]), int(sys.argv[3])))
shutil.copy(pair.certificate, folder / "cert.pem")
shutil.copy(pair.key, folder / "key.pem")
`, folder, ...days.map(String)], { env: { ...process.env, PYTHONPATH: path.join(new URL(".", import.meta.url).pathname, "../e2e"),
                                   PYTHONDONTWRITEBYTECODE: "1" }, stdio: "pipe" });
}

export class Gate {
  constructor(services, { days = 90, admin = {} } = {}) {
    this.folder = mkdtempSync(path.join(os.tmpdir(), "scoregate-page-"));
    makeCertificate(this.folder, days);
    this.file = path.join(this.folder, "scoregate.json");
    this.settings = {
      sslCertPemFile: "cert.pem", sslKeyPemFile: "key.pem", sslCname: "localhost",
      listen: { https: ["127.0.0.1:0"], http: ["127.0.0.1:0"] },
      admin: { listen: "127.0.0.1:0", ...admin },
      access_log: { path: null }, workers: 1, services,
    };
    this.log = "";
  }

  write(name, text, mode = 0o600) {
    writeFileSync(path.join(this.folder, name), text);
    chmodSync(path.join(this.folder, name), mode);
  }

  async start() {
    writeFileSync(this.file, JSON.stringify(this.settings));
    this.process = spawn(binary, ["--config", this.file], { stdio: ["ignore", "ignore", "pipe"] });
    this.ended = new Promise(done => this.process.on("exit", done));
    this.process.stderr.on("data", some => { this.log += some; });
    const port = what => this.said(new RegExp(`listening ${what} \\S*:(\\d+)`)).then(found => Number(found[1]));
    [this.https, this.admin] = await Promise.all([port("https"), port("admin")]);
    await this.said(/serves with/);
    this.url = `http://127.0.0.1:${this.admin}/`;
    return this;
  }

  // Waits until every replica may be used. Who needs a token to ask is not asked.
  async ready() {
    if (this.settings.admin.token_file !== undefined) return;
    for (const until = Date.now() + patience; ;) {
      const { services } = await (await fetch(this.url + "status")).json().catch(() => ({}));
      const replicas = Object.values(services ?? {}).flatMap(each => Object.values(each.deployments)).flatMap(each => each.replicas);
      if (replicas.length > 0 && replicas.every(each => each.ready)) return;
      if (Date.now() > until) throw new Error("not ready: " + JSON.stringify(services));
      await new Promise(done => setTimeout(done, 50));
    }
  }

  // Waits until the log has it.
  async said(pattern) {
    const until = Date.now() + patience;
    for (;;) {
      const found = this.log.match(pattern);
      if (found) return found;
      if (Date.now() > until || this.process.exitCode !== null) throw new Error(`no ${pattern} in:\n${this.log}`);
      await Promise.race([new Promise(done => this.process.stderr.once("data", done)), this.ended, new Promise(done => setTimeout(done, 500))]);
    }
  }

  // One request over TLS: its status.
  score(name) {
    return new Promise((done, failed) => {
      const request = https.request({ host: "127.0.0.1", port: this.https, servername: "localhost", method: "POST", agent: this.agent,
                                      path: `/api/v1/service/${name}/score`, rejectUnauthorized: false }, reply => {
        reply.resume();
        reply.on("end", () => done(reply.statusCode));
      });
      request.on("error", failed);
      request.end("[[1]]");
    });
  }

  // Requests one after the other, `at` a time, until `stop()` of what it returns.
  load(name, at) {
    let on = true;
    const one = async () => { while (on) await this.score(name).catch(() => {}); };
    const all = Promise.all(Array.from({ length: at }, one));
    return { stop: () => { on = false; return all; } };
  }

  agent = new https.Agent({ keepAlive: true });

  async stop() {
    this.agent.destroy();
    if (this.process === undefined) return;
    if (this.process.exitCode === null) this.process.kill("SIGTERM");
    await this.ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
