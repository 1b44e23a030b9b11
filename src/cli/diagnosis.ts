/** What `postern doctor` finds, one thing each: looked at, and well, doubtful or broken; what is not well has its remedy. */

/** One thing that was looked at. */
export interface Diagnosis {
  readonly check:
    | 'configuration'
    | 'secrets'
    | 'firewall'
    | 'interface'
    | 'kernel'
    | 'daemon'
    | 'cage'
    | 'clock'
    | 'way in';
  readonly status: 'ok' | 'warning' | 'broken';
  readonly message: string;
  readonly hint?: string;
}

type Check = Diagnosis['check'];

export function ok(check: Check, message: string): Diagnosis {
  return { check, status: 'ok', message };
}

export function warning(check: Check, message: string, hint: string): Diagnosis {
  return { check, status: 'warning', message, hint };
}

export function broken(check: Check, message: string, hint: string): Diagnosis {
  return { check, status: 'broken', message, hint };
}
