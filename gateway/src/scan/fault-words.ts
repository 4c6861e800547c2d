import type { SerialFormat } from '../modbus/rtu-framing.ts'
import type { Fault, Finding, LineEvidence } from './line-evidence.ts'

const parityLetters = { none: 'N', even: 'E', odd: 'O' } as const

/** Line settings as installers write them: 9600 8N1. */
export function formatSettings({ baudRate, parity, stopBits }: SerialFormat): string {
  return `${baudRate} 8${parityLetters[parity]}${stopBits}`
}

/** What to check, the quickest and most telling first. */
export const checks: Readonly<Record<Fault, readonly string[]>> = {
  'a-b-swapped': [
    'swap the two wires at the adapter: makers label A and B in opposite ways',
    'the meters have power, and the pair is on their RS-485 terminals',
    'the common ground is connected',
  ],
  'wrong-baud-rate': ["the meter's menu: its baud rate", 'put the rate that the scan found into the config'],
  'wrong-parity': ["the meter's menu: parity and stop bits", 'put what the scan found into the config'],
  'duplicate-address': [
    'disconnect the meters of this line one by one: with one of them gone, the id answers cleanly',
    'give each meter an id of its own',
    'scan again',
  ],
  'missing-termination': [
    '120 ohm at both ends of the line, and nowhere else',
    'one line from meter to meter, no star and no long stubs',
    'A and B in one twisted pair, the shield earthed at one end, away from power cables',
    'a lower baud rate',
  ],
  'second-client': [
    'another gateway, logger, inverter or charger that reads the same meters: unplug it',
    'let one of the two read, and pass the values on',
    'a line of its own for each',
  ],
  'shifted-map': [
    "the meter's exact model and firmware: another profile may fit",
    'a converter between that counts registers from 1',
    'do not use the meter with this profile before its values are right',
  ],
  'swapped-words': [
    "the meter's menu: its word order or float format",
    "the meter's exact model: another profile may fit",
    'a converter between that swaps words',
  ],
  'reversed-feed': [
    'is energy really fed in there at this moment? then give the meter the role producer or bidirectional',
    'the arrow on each current transformer points to the load',
    'feed and load at the terminals of a directly connected meter',
  ],
  'transformer-on-wrong-phase': [
    'each current transformer sits on the wire of the phase whose voltage its terminals belong to',
    'L1, L2, L3 of the voltage terminals, one by one',
    'switch a load on one phase and look which current follows',
  ],
  'slow-device': [
    "the meter's menu: its response delay",
    'a radio or a converter in between',
    'leave it: the gateway waits for it, but it takes time from the others of its line',
  ],
  'nothing-there': ['the meters have power', 'the right port, the right terminals', 'the unit ids, at the meters'],
  'missing-device': [
    'it has power',
    'its unit id, at the meter',
    'its place on the line: the wire beyond the last one that answers',
  ],
  'other-meter': ['the name plate', 'the profile in the config'],
  'unknown-meter': [
    'the name plate; a file under hardware/meters for it: CONTRIBUTING.md shows how',
    'is it a meter at all? inverters and chargers answer too',
  ],
}

type Speak = (finding: Finding, line: LineEvidence) => string

const idOf = ({ unit }: Finding) => `unit ${unit?.unitId ?? '?'}`
const settingsOf = (format: SerialFormat | undefined) =>
  format === undefined ? 'other settings' : formatSettings(format)

const silence = ({ searchedAll }: LineEvidence) =>
  searchedAll ? 'Nobody answers at any setting and any unit id' : 'Nobody answers at the settings that were tried'

const sentences: Readonly<Record<Fault, Speak>> = {
  'a-b-swapped': (_, line) =>
    line.noiseBytes > 0
      ? `${silence(line)}, and the line brings ${line.noiseBytes} bytes without sense: the wires A and B are swapped.`
      : `${silence(line)}: most often the wires A and B are swapped.`,
  'wrong-baud-rate': (finding, line) =>
    finding.unit === undefined
      ? `${silence(line)}: the meters may have another baud rate. The full search finds it.`
      : `The baud rate is wrong: answers come at ${settingsOf(finding.unit.format)}, not at ${settingsOf(line.expected)} (unit ${finding.detail}).`,
  'wrong-parity': (finding, line) =>
    finding.unit === undefined
      ? `${silence(line)}: the meters may have another parity. The full search finds it.`
      : `The parity is wrong: answers come at ${settingsOf(finding.unit.format)}, not at ${settingsOf(line.expected)} (unit ${finding.detail}).`,
  'duplicate-address': (finding) =>
    `Two devices have the same address: at ${idOf(finding)} ${
      finding.detail === undefined
        ? 'answers come twice or on top of each other'
        : `serial numbers ${finding.detail} answer`
    }, while the rest of the line is sound.`,
  'missing-termination': ({ detail }) =>
    `${detail} answers arrive with wrong bits: the line echoes or picks up noise, most often because the resistors at its ends are missing.`,
  'second-client': ({ detail }) =>
    `Somebody else asks questions on this line${detail === undefined ? '' : ` (${detail} heard)`}: a second client. Modbus RTU allows one.`,
  'shifted-map': (finding) => {
    const shift = finding.unit?.identity?.shift ?? 0
    return `The registers of ${idOf(finding)} (${finding.unit?.identity?.profile}) stand ${Math.abs(shift)} address ${shift > 0 ? 'higher' : 'lower'} than its profile says.`
  },
  'swapped-words': (finding) =>
    `The two words of each value of ${idOf(finding)} (${finding.unit?.identity?.profile}) stand the other way round than its profile says.`,
  'reversed-feed': (finding) =>
    finding.unit?.expected?.role === 'producer'
      ? `The producer at ${idOf(finding)} draws power: its feed direction is reversed, or it is idle and only draws for itself.`
      : `Power flows backwards at ${idOf(finding)} (power factor ${finding.detail}): the feed direction or a current transformer is reversed.`,
  'transformer-on-wrong-phase': (finding) =>
    `Current and voltage of ${idOf(finding)} do not belong together (power factor ${finding.detail}): a current transformer sits on the wrong phase.`,
  'slow-device': (finding) => `The device at ${idOf(finding)} is slow: it takes ${finding.detail} ms to answer.`,
  'nothing-there': (_, line) => `${silence(line)}: nothing may be connected, or it has no power.`,
  'missing-device': ({ detail }) => `Nobody answers at unit ${detail}, which the config names.`,
  'other-meter': (finding) =>
    `At ${idOf(finding)} hangs ${finding.unit?.identity?.profile}, not ${finding.unit?.expected?.profile} as the config says.`,
  'unknown-meter': (finding) => `Somebody answers at ${idOf(finding)}, and no profile fits.`,
}

/** A fault in plain words. */
export function faultSentence(fault: Fault, finding: Finding, line: LineEvidence): string {
  return sentences[fault](finding, line)
}
