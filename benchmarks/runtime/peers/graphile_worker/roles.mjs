// The two processes of graphile-worker: they say and hear the same as those of roles.py.

import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { Logger, makeWorkerUtils, run, runMigrations } from "graphile-worker";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { every: { type: "string" }, concurrency: { type: "string" }, callers: { type: "string" } },
});
const [role, connectionString] = positionals;
const concurrentJobs = Number(values.concurrency);
// What its page "Performance" was measured with, but for the number of jobs at once: 24 there, and no faster here.
const preset = {
  worker: {
    connectionString,
    concurrentJobs,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
};
const logger = new Logger(() => () => {});
const now = () => process.hrtime.bigint();
const seconds = (since) => Number(now() - since) / 1e9;
const say = (text) => writeSync(1, `${text}\n`);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function handler(every) {
  let started = 0;
  return async ({ number }) => {
    if (!every || number < 0) return say(`${number} ${now()}`);
    started += 1;
    if (started === 1) say(`first ${now()}`);
    if (started === every) {
      say(`all ${now()}`);
      started = 0;
    }
  };
}

const one = (utils, number) => utils.addJob("work", { number });

const commands = {
  async many(utils, count) {
    const jobs = Array.from({ length: Number(count) }, (_, number) => ({ identifier: "work", payload: { number } }));
    const began = now();
    await utils.addJobs(jobs);
    return { seconds: seconds(began) };
  },

  async one(utils, number) {
    const began = now();
    await one(utils, Number(number));
    return { began: Number(began), seconds: seconds(began) };
  },

  async storm(utils, limit, callers) {
    const began = now();
    let count = 0;
    const call = async (caller) => {
      while (seconds(began) < Number(limit)) {
        await one(utils, caller);
        count += 1;
      }
    };
    await Promise.all(Array.from({ length: Number(callers) }, (_, caller) => call(caller)));
    return { count, seconds: seconds(began) };
  },

  async steady(utils, rate, limit, first) {
    const began = now();
    const asked = [];
    const sent = [];
    for (let turn = 0; turn < Math.round(Number(rate) * Number(limit)); turn += 1) {
      const wait = turn / Number(rate) - seconds(began);
      if (wait > 0) await sleep(wait * 1000);
      asked.push(Number(now()));
      sent.push(one(utils, Number(first) + turn));
    }
    await Promise.all(sent);
    return { first: Number(first), asked };
  },
};

async function produce() {
  const utils = await makeWorkerUtils({ connectionString, maxPoolSize: Number(values.callers), logger });
  say(JSON.stringify({ ready: true }));
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, ...words] = line.split(" ");
    say(JSON.stringify(await commands[command](utils, ...words)));
  }
  await utils.release();
}

const roles = {
  install: () => runMigrations({ connectionString, logger }),
  produce,
  work: async () => {
    const runner = await run({ preset, logger, taskList: { work: handler(Number(values.every ?? 0)) } });
    await runner.promise;
  },
};

await roles[role]();
