import { updateList } from './authorisation.ts'
import { compositeOf } from './charging-profiles.ts'
import type { Commands, RemoteStart } from './commands.ts'
import type { Firmware } from './firmware.ts'
import type { Place } from './place.ts'

const answerFirstMs = 500
const firmwareStepMs = 1000

/** What a CSMS may do with the firmware. */
export function makeCommands(firmware: Firmware): Commands {
  return {
    ...remoteControl(firmware),
    ...reservations(firmware),
    ...smartCharging(firmware),
    ...housekeeping(firmware),
    ...itself(firmware),
  }
}

type Part<K extends keyof Commands> = Pick<Commands, K>

const placesOf = (firmware: Firmware) => firmware.options.places
const placeAt = (firmware: Firmware, evseId: number) => placesOf(firmware).find(({ id }) => id === evseId)

function remoteControl(
  firmware: Firmware,
): Part<'evseIds' | 'remoteStart' | 'remoteStop' | 'transactionGiven' | 'openTransactionAt' | 'transactionStatus'> {
  return {
    evseIds: placesOf(firmware).map(({ id }) => id),
    remoteStart: (start) => remoteStart(firmware, start),
    remoteStop(transactionId) {
      const open = firmware.transactions.byId(transactionId)
      const place = open && placeAt(firmware, open.evseId)
      if (place === undefined) return false
      later(firmware, 0, () => firmware.end(place, { stoppedReason: 'Remote', triggerReason: 'RemoteStop' }))
      return true
    },
    transactionGiven: (id) => Object.entries(firmware.state.now.givenIds).find(([, given]) => given === id)?.[0],
    openTransactionAt: (evseId) => firmware.transactions.at(evseId)?.id,
    transactionStatus(id) {
      const { queue, open } = firmware.state.now
      return {
        ongoing: open.some((transaction) => transaction.id === id),
        queued: queue.some(({ transactionId }) => id === undefined || transactionId === id),
      }
    },
  }
}

function remoteStart(firmware: Firmware, start: RemoteStart): boolean {
  const { idToken, groupIdToken, remoteStartId, profile } = start
  const canStart = (place: Place) =>
    firmware.transactions.at(place.id) === undefined &&
    place.pending === undefined &&
    place.evse.fault === undefined &&
    !firmware.access.isTaken(place, { idToken, groupIdToken })
  const candidates = placesOf(firmware).filter(({ id }) => start.evseId === undefined || id === start.evseId)
  // Where a vehicle waits already, if there is one.
  const usable = candidates.filter(canStart)
  const place = usable.find(({ evse }) => evse.vehicle !== undefined) ?? usable[0]
  if (place === undefined) return false
  const begin = async () => {
    const needed = firmware.settings.is('remoteNeedsAuthorize')
    const decision = needed ? await firmware.access.authorise(idToken) : { groupIdToken }
    if (firmware.stopped || decision === undefined || !canStart(place)) return
    firmware.await(place, { idToken, ...decision, remoteStartId, remote: true, profile })
  }
  later(firmware, 0, () => void begin())
  return true
}

function reservations(firmware: Firmware): Part<'reserve' | 'cancelReservation' | 'unlock' | 'setOperative'> {
  const { state } = firmware
  return {
    reserve(reservation) {
      const place = placeAt(firmware, reservation.evseId)
      if (reservation.evseId !== 0 && place === undefined) return 'Rejected'
      // One with the same id is replaced (OCPP 1.6 §5.13, 2.0.1 H01.FR.02).
      const others = state.now.reservations.filter(({ id }) => id !== reservation.id)
      const refusal = refusalOf(firmware, place, others)
      if (refusal !== undefined) return refusal
      state.change({ reservations: [...others, reservation] })
      later(firmware, 0, () => firmware.tick())
      return 'Accepted'
    },
    cancelReservation(id) {
      const kept = state.now.reservations.filter((reservation) => reservation.id !== id)
      if (kept.length === state.now.reservations.length) return false
      state.change({ reservations: kept })
      later(firmware, 0, () => firmware.tick())
      return true
    },
    unlock(evseId) {
      const place = placeAt(firmware, evseId)
      if (place === undefined || place.evse.faults.has('lock-stuck')) return 'UnlockFailed'
      if (firmware.transactions.at(evseId) !== undefined) return 'OngoingAuthorizedTransaction'
      place.pending = undefined
      later(firmware, 0, () => firmware.tick())
      return 'Unlocked'
    },
    setOperative(evseId, operative) {
      if (evseId !== 0 && placeAt(firmware, evseId) === undefined) return 'Rejected'
      const others = state.now.inoperative.filter((id) => id !== evseId)
      state.change({ inoperative: operative ? others : [...others, evseId] })
      later(firmware, 0, () => {
        if (evseId === 0) firmware.tellStation()
        firmware.tick()
      })
      const busy = state.now.open.some((open) => evseId === 0 || open.evseId === evseId)
      return busy && !operative ? 'Scheduled' : 'Accepted'
    },
  }
}

function refusalOf(firmware: Firmware, place: Place | undefined, others: readonly { readonly evseId: number }[]) {
  const candidates = place === undefined ? placesOf(firmware) : [place]
  const operative = candidates.filter((candidate) => firmware.access.isOperative(candidate))
  if (operative.length === 0) return 'Unavailable'
  const sound = operative.filter(({ evse }) => evse.fault === undefined)
  if (sound.length === 0) return 'Faulted'
  const free = sound.filter(
    ({ id, evse, pending }) =>
      firmware.transactions.at(id) === undefined &&
      pending === undefined &&
      evse.vehicle === undefined &&
      !others.some(({ evseId }) => evseId === id),
  )
  const anywhere = place === undefined ? others.filter(({ evseId }) => evseId === 0).length : 0
  return free.length > anywhere ? undefined : 'Occupied'
}

function smartCharging(firmware: Firmware): Part<'setProfile' | 'clearProfiles' | 'compositeSchedule'> {
  const { state, settings } = firmware
  return {
    setProfile(profile) {
      const exists = profile.evseId === 0 || placeAt(firmware, profile.evseId) !== undefined
      const ofStation = profile.purpose === 'ChargingStationMaxProfile'
      const tooMuch =
        profile.stackLevel > settings.number('maxStackLevel') || profile.periods.length > settings.number('maxPeriods')
      // The first period begins with the schedule (OCPP 1.6 §7.13, 2.0.1 K01.FR.31).
      if (!exists || tooMuch || (ofStation && profile.evseId !== 0) || profile.periods[0]?.startSeconds !== 0)
        return false
      const replaces = (other: typeof profile) =>
        other.id === profile.id ||
        (other.purpose === profile.purpose &&
          other.stackLevel === profile.stackLevel &&
          other.evseId === profile.evseId &&
          other.transactionId === profile.transactionId)
      state.change({ profiles: [...state.now.profiles.filter((other) => !replaces(other)), profile] })
      later(firmware, 0, () => firmware.tick())
      return true
    },
    clearProfiles(matches) {
      const kept = state.now.profiles.filter((profile) => !matches(profile))
      if (kept.length === state.now.profiles.length) return false
      state.change({ profiles: kept })
      later(firmware, 0, () => firmware.tick())
      return true
    },
    compositeSchedule(evseId, durationSeconds, unit) {
      const startMs = firmware.clock.nowMs
      const evses = placesOf(firmware).filter(({ id }) => evseId === 0 || id === evseId)
      const phases = Math.max(...evses.map(({ evse }) => evse.options.phases))
      const currentA = evses.reduce((sum, { evse }) => sum + evse.options.maxCurrentA, 0)
      const query = {
        evseId,
        atMs: startMs,
        transaction: firmware.transactions.at(evseId),
        hardware: { currentA, phases },
      }
      // The station as a whole is bound by its own limits only; an EVSE by its share of them.
      const profiles = evseId === 0 ? state.now.profiles : firmware.profilesShared()
      return { startMs, periods: compositeOf(profiles, query, { durationSeconds, unit }) }
    },
  }
}

function housekeeping(
  firmware: Firmware,
): Part<'reset' | 'listVersion' | 'updateList' | 'clearCache' | 'trigger' | 'updateFirmware' | 'afterwards' | 'hang'> {
  const { state, settings } = firmware
  return {
    reset(when, stoppedReason) {
      const busy = state.now.open.length > 0
      if (when === 'when-idle' && busy) {
        firmware.restartWhenIdle = true
        return 'Scheduled'
      }
      later(firmware, answerFirstMs, () => {
        for (const place of placesOf(firmware)) {
          firmware.end(place, { stoppedReason: stoppedReason ?? 'ImmediateReset', triggerReason: 'ResetCommand' })
        }
        firmware.options.onRestart('RemoteReset', [])
      })
      return 'Accepted'
    },
    listVersion: () => (settings.is('listEnabled') ? state.now.localList.version : -1),
    updateList(update) {
      const localList = updateList(state.now.localList, update)
      if (localList === undefined) return false
      state.change({ localList })
      return true
    },
    clearCache() {
      if (!settings.is('cacheEnabled')) return false
      state.change({ cache: [] })
      return true
    },
    trigger: (message, evseId) => trigger(firmware, message, evseId),
    updateFirmware(report) {
      const steps = ['Downloading', 'Downloaded', 'Installing'] as const
      for (const [i, step] of steps.entries()) {
        later(firmware, firmwareStepMs * (i + 1), () => firmware.send(report(step)))
      }
      later(firmware, firmwareStepMs * (steps.length + 1), () => {
        for (const place of placesOf(firmware)) {
          firmware.end(place, { stoppedReason: 'Reboot', triggerReason: 'ResetCommand' })
        }
        firmware.options.onRestart('FirmwareUpdate', [report('Installed')])
      })
    },
    afterwards(requests) {
      later(firmware, 0, () => {
        for (const request of requests) firmware.send(request)
      })
    },
    hang: () => firmware.connection.hang(),
  }
}

function itself(
  firmware: Firmware,
): Part<'version' | 'state' | 'security' | 'url' | 'hasPassword' | 'reconnectSoon' | 'showCost'> {
  const { options, state, security } = firmware
  return {
    version: options.version,
    state,
    security,
    url: () => firmware.address.url(0),
    hasPassword: options.password !== undefined,
    reconnectSoon: () => later(firmware, answerFirstMs, () => firmware.connection.reconnect()),
    showCost: (transactionId, totalCost) => options.onEvent('cost.shown', { transactionId, totalCost }),
  }
}

function trigger(firmware: Firmware, message: Parameters<Commands['trigger']>[0], evseId: number | undefined): boolean {
  const named = placesOf(firmware).filter(({ id }) => evseId === undefined || evseId === 0 || id === evseId)
  if (named.length === 0) return false
  const tell: Readonly<Record<typeof message, (place: Place) => void>> = {
    boot: () => undefined,
    heartbeat: () => undefined,
    status: (place) => firmware.tellStatus(place),
    'meter-values': (place) => firmware.sendMeterValues(place, 'Trigger'),
    transaction(place) {
      firmware.transactions.update(place, 'Trigger', [firmware.transactions.sample(place, 'Trigger')])
      firmware.flush()
    },
  }
  later(firmware, 0, () => {
    if (message === 'boot') firmware.connection.boot('Triggered')
    else if (message === 'heartbeat') firmware.connection.heartbeat()
    else named.forEach(tell[message])
  })
  return true
}

// After the answer, which goes out first.
function later(firmware: Firmware, ms: number, run: () => void): void {
  firmware.options.timers.after(ms, () => {
    if (!firmware.stopped) run()
  })
}
