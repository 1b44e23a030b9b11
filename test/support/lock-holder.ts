/** Run as a program of its own: takes the lock that its arguments name (`pid` or `state`), says so, and holds it until it is killed. */

import { writePidFile } from '../../src/keeper/pid-file.ts';
import { lockState } from '../../src/keeper/state-lock.ts';

const [kind, path = ''] = process.argv.slice(2);
const held = kind === 'pid' ? writePidFile(path) : lockState(path, 'daemon');
console.log('holder' in held ? 'refused' : 'held');
setInterval(() => {}, 1000);
