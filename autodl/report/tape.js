// Runs a recorded network for one row, in float64; see _tape.py for what the steps are.
window.autodlTape ??= (() => {
  "use strict";

  const erf = (x) => {
    const size = Math.abs(x);
    if (!(size < 6)) return Number.isNaN(x) ? x : Math.sign(x);
    let term = size, sum = size; // Kummer's series: all terms positive, so that nothing is lost
    for (let n = 1; term > sum * 1e-17; n += 1) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return (Math.sign(x) * 2 * Math.exp(-x * x) * sum) / Math.sqrt(Math.PI);
  };
  const even = (x) => {
    const below = Math.floor(x);
    if (x - below !== 0.5) return Math.round(x);
    return below % 2 === 0 ? below : below + 1;
  };
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const truth = (x) => (x ? 1 : 0);

  const MAP = {
    neg: (x) => -x, abs: Math.abs, sqrt: Math.sqrt, rsqrt: (x) => 1 / Math.sqrt(x), exp: Math.exp, expm1: Math.expm1,
    log: Math.log, log1p: Math.log1p, log2: Math.log2, sin: Math.sin, cos: Math.cos, tan: Math.tan, tanh: Math.tanh,
    sigmoid, erf, reciprocal: (x) => 1 / x, floor: Math.floor, ceil: Math.ceil, round: even, trunc: Math.trunc,
    sign: Math.sign, relu: (x) => (x < 0 ? 0 : x),
    isnan: (x) => truth(Number.isNaN(x)), logical_not: (x) => truth(x === 0),
    silu: (x) => x * sigmoid(x), mish: (x) => x * Math.tanh(x > 30 ? x : Math.log1p(Math.exp(x))),
    gelu: (x) => (x * (1 + erf(x / Math.SQRT2))) / 2,
    gelu_tanh: (x) => (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)))) / 2,
    hardswish: (x) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6,
    hardsigmoid: (x) => Math.min(Math.max(x + 3, 0), 6) / 6,
    log_sigmoid: (x) => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x))),
    softplus: (x, beta, most) => (x * beta > most ? x : Math.log1p(Math.exp(x * beta)) / beta),
    leaky_relu: (x, slope) => (x > 0 ? x : x * slope),
    elu: (x, alpha, scale, inner) => (x > 0 ? x * scale : alpha * scale * Math.expm1(x * inner)),
    threshold: (x, most, value) => (x <= most ? value : x),
    nan_to_num: (x, nan, high, low) => (Number.isNaN(x) ? nan : x === Infinity ? high : x === -Infinity ? low : x),
  };

  const ZIP = {
    add: (x, y) => x + y, sub: (x, y) => x - y, mul: (x, y) => x * y, div: (x, y) => x / y, pow: Math.pow,
    maximum: Math.max, minimum: Math.min, atan2: Math.atan2,
    eq: (x, y) => truth(x === y), ne: (x, y) => truth(x !== y), lt: (x, y) => truth(x < y),
    le: (x, y) => truth(x <= y), gt: (x, y) => truth(x > y), ge: (x, y) => truth(x >= y),
    and: (x, y) => truth(x && y), or: (x, y) => truth(x || y),
  };

  const total = (run) => run.reduce((sum, x) => sum + x, 0);
  const most = (run) => run.reduce((a, b) => Math.max(a, b), -Infinity);
  const middle = (run) => total(run) / run.length;
  const spread = (run, correction) => {
    const mean = middle(run);
    return run.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (run.length - correction);
  };
  const logTotal = (run) => {
    const top = most(run);
    return Number.isFinite(top) ? top + Math.log(run.reduce((sum, x) => sum + Math.exp(x - top), 0)) : top;
  };
  const norm = (run, order) => {
    if (order === Infinity) return most(run.map(Math.abs));
    if (order === 2) return Math.sqrt(run.reduce((sum, x) => sum + x * x, 0));
    return run.reduce((sum, x) => sum + Math.abs(x) ** order, 0) ** (1 / order);
  };

  const REDUCE = {
    sum: total, mean: middle, amax: most, amin: (run) => run.reduce((a, b) => Math.min(a, b), Infinity),
    prod: (run) => run.reduce((product, x) => product * x, 1), var: spread, logsumexp: logTotal,
    std: (run, correction) => Math.sqrt(spread(run, correction)), linalg_vector_norm: norm,
  };

  const ALONG = {
    softmax: (run) => { const whole = logTotal(run); return run.map((x) => Math.exp(x - whole)); },
    log_softmax: (run) => { const whole = logTotal(run); return run.map((x) => x - whole); },
    sort: (run) => Float64Array.from(run).sort(),
    sort_down: (run) => Float64Array.from(run).sort().reverse(),
    cumsum: (run) => { let sum = 0; return run.map((x) => (sum += x)); },
    rms: (run, eps) => { const size = Math.sqrt(middle(run.map((x) => x * x)) + eps); return run.map((x) => x / size); },
    standard: (run, eps) => {
      const mean = middle(run), size = Math.sqrt(spread(run, 0) + eps);
      return run.map((x) => (x - mean) / size);
    },
  };

  const positions = (start, shape, steps) => {
    let found = [start];
    shape.forEach((size, axis) => {
      found = found.flatMap((from) => Array.from({ length: size }, (_, i) => from + i * steps[axis]));
    });
    return found;
  };

  // Each kind of step: its parameters → a function of the values that it reads.
  const KINDS = {
    gather: (...how) => {
      const index = Int32Array.from(how.length === 3 ? positions(...how) : how[0]);
      return (a) => Float64Array.from(index, (i) => a[i]);
    },
    map: (name, parameters) => {
      const [f, [p, q, r]] = [MAP[name], [...parameters.map(Number), 0, 0, 0]];
      return (a) => a.map((x) => f(x, p, q, r));
    },
    zip: (name) => {
      const f = ZIP[name];
      return (a, b) => {
        if (b.length === 1 && a.length !== 1) { const [y] = b; return a.map((x) => f(x, y)); }
        if (a.length === 1) { const [x] = a; return b.map((y) => f(x, y)); }
        return a.map((x, i) => f(x, b[i]));
      };
    },
    where: () => (c, a, b) => {
      const at = (values, i) => (values.length === 1 ? values[0] : values[i]);
      return new Float64Array(Math.max(c.length, a.length, b.length)).map((_, i) => at(at(c, i) ? a : b, i));
    },
    matmul: ([batch, rows, inner, columns]) => (a, b) => {
      const out = new Float64Array(batch * rows * columns);
      for (let row = 0; row < batch * rows; row += 1) {
        const matrix = Math.floor(row / rows) * inner * columns, to = row * columns;
        for (let k = 0; k < inner; k += 1) {
          const x = a[row * inner + k], from = matrix + k * columns;
          for (let j = 0; j < columns; j += 1) out[to + j] += x * b[from + j];
        }
      }
      return out;
    },
    join: (lengths) => (...parts) => {
      const width = lengths.reduce((sum, n) => sum + n, 0);
      const times = parts[0].length / lengths[0];
      const out = new Float64Array(times * width);
      for (let i = 0; i < times; i += 1) {
        let to = i * width;
        parts.forEach((part, at) => { out.set(part.subarray(i * lengths[at], (i + 1) * lengths[at]), to); to += lengths[at]; });
      }
      return out;
    },
    reduce: (name, length, extra) => {
      const f = REDUCE[name], other = Number(extra);
      return (a) => new Float64Array(a.length / length).map((_, i) => f(a.subarray(i * length, (i + 1) * length), other));
    },
    along: (name, length, extra) => {
      const f = ALONG[name], other = Number(extra);
      return (a) => {
        const out = new Float64Array(a.length);
        for (let i = 0; i < a.length; i += length) out.set(f(a.subarray(i, i + length), other), i);
        return out;
      };
    },
    pick: (rows, width) => (table, at) => {
      const out = new Float64Array(at.length * width);
      at.forEach((row, i) => out.set(table.subarray(row * width, (row + 1) * width), i * width));
      return out;
    },
  };

  const unpack = (text) => {
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    for (let i = 0; i < bytes.length; i += 1) bytes[i] = letters.charCodeAt(i);
    return new Float64Array(new Float32Array(bytes.buffer));
  };

  // → a function of the inputs' numbers by name, and the position of the row whose frozen numbers hold.
  const compile = (tape) => {
    const values = new Array(tape.slots);
    const known = new Set();
    for (const [slot, given] of Object.entries(tape.constants)) {
      values[slot] = typeof given === "string" && !/^(NaN|-?Infinity)$/.test(given) ? unpack(given) : Float64Array.of(Number(given));
      known.add(Number(slot));
    }
    const frozen = Object.entries(tape.frozen).map(([slot, rows]) => [slot, rows.map(unpack)]);
    const steps = [];
    for (const [kind, out, reads, ...parameters] of tape.steps) {
      const step = { out, reads, run: KINDS[kind](...parameters) };
      if (reads.every((slot) => known.has(slot))) { // what never changes is worked out once
        values[out] = step.run(...reads.map((slot) => values[slot]));
        known.add(out);
      } else steps.push(step);
    }
    return (inputs, row = 0) => {
      for (const [name, slot] of Object.entries(tape.inputs)) values[slot] = inputs[name];
      for (const [slot, rows] of frozen) values[slot] = rows[row];
      for (const { out, reads, run } of steps) values[out] = run(...reads.map((slot) => values[slot]));
      return values[tape.output];
    };
  };

  const weights = (tape) => Object.values(tape.constants).reduce((sum, given) => sum + (typeof given === "string" ? Math.floor((given.length * 3) / 16) : 1), 0);

  return { compile, unpack, weights };
})();
