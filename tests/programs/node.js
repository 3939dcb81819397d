// SPDX-License-Identifier: GPL-2.0-or-later
// Node.js: timers, promises, worker threads, the thread pool, a file written in turns.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const { Worker, isMainThread, parentPort } = require('worker_threads');

if (!isMainThread) {
	parentPort.on('message', (n) => {
		let h = Buffer.from(String(n));
		for (let i = 0; i < 5000; i++)
			h = crypto.createHash('sha256').update(h).digest();
		parentPort.postMessage([n, h.toString('hex')]);
	});
} else {
	const worker = new Worker(__filename);
	const ask = (n) => new Promise((resolve) => { worker.once('message', resolve); worker.postMessage(n); });
	const pbkdf2 = (n) => new Promise((resolve, reject) =>
		crypto.pbkdf2('secret', 'salt' + n, 20000, 32, 'sha512', (e, k) => e ? reject(e) : resolve(k.toString('hex'))));
	(async () => {
		const out = fs.openSync('out.txt', 'w');
		for (let turn = 0; turn < 60; turn++) {
			const [[n, h], k] = await Promise.all([ask(turn), pbkdf2(turn)]);
			const list = Array.from({ length: 20000 }, (_, i) => (i * 7919 + turn) % 10007).sort((a, b) => a - b);
			fs.writeSync(out, `${n} ${h} ${k} ${list[turn]}\n`);
			console.log(turn, h.slice(0, 16));
			await new Promise((resolve) => setTimeout(resolve, 5));
		}
		fs.closeSync(out);
		await worker.terminate();
	})();
}
