import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { Command } from 'commander'
import { Anvil } from '../../test/anvil.ts'
import { walletOf } from '../../test/chain.ts'
import { runCommand } from '../../test/programs.ts'
import { whileMining } from '../../test/relay-rig.ts'
import { Device, openRig, tempDir } from '../../test/rig.ts'
import { addChain } from './chain-commands.ts'
import { addressAfter } from './chain-desk.ts'
import { toDeviceAddress } from './settlement.ts'

const members = [11, 12, 13].map(walletOf)
const [first, second] = members
const owner = walletOf(21)
const next = walletOf(22)
const payer = walletOf(31)

/** Runs a command as the program does and gives what it prints. */
async function run(...args: readonly (string | number)[]): Promise<string> {
  let printed = ''
  const program = new Command().exitOverride()
  addChain(program, (text) => {
    printed += text
  })
  await program.parseAsync(['chain', ...args.map(String)], { from: 'user' })
  return printed
}

test('contracts are deployed, points enrolled and owners changed by commands, each of which may be run again', async (t) => {
  const anvil = await Anvil.start()
  t.teardown(() => anvil.stop())
  for (const { address } of [payer, owner, next]) await anvil.rpc('anvil_setBalance', address, '0x56bc75e2d63100000')
  const folder = tempDir(t)
  const keyOf = ({ secret, address }: typeof payer) => {
    const path = join(folder, `${address}.key`)
    writeFileSync(path, `${secret}\n`, { mode: 0o600 })
    return path
  }
  const file = join(folder, 'chain.json')
  const paper = join(folder, 'paper.json')
  const by = (who: typeof payer) => ['--rpc', anvil.url, '--key', keyOf(who)]
  const council = members.map(({ address }) => address).join(',')
  const deploy = () => run('deploy', ...by(payer), '--file', file, '--members', council, '--threshold', 2)
  const draft = (...deed: (string | number)[]) => run('draft', ...deed, '--file', file, '--out', paper)
  const sign = async (...people: (typeof payer | undefined)[]) => {
    let said = ''
    for (const each of people) said = await run('sign', paper, '--key', keyOf(each ?? payer))
    return said
  }
  const bring = () => run('bring', paper, ...by(payer))

  await whileMining({ anvil }, async () => {
    // As after a crash between noting an address and sending.
    const lost = { version: 1, chainId: 31_337, members: members.map(({ address }) => address), threshold: 2 }
    writeFileSync(file, JSON.stringify({ ...lost, council: `0x${'ab'.repeat(20)}` }))
    t.regex(await deploy(), /Council 0x[^,]+\nWatt .*\nAttestation .*\nthe council has to say/)
    t.regex(await deploy(), /Council .*, there already\nWatt .*, there already\nAttestation .*, there already/)
    await t.throwsAsync(run('deploy', ...by(payer), '--file', file, '--members', council, '--threshold', 1), {
      code: 'config/invalid',
    })

    await draft('name-booker')
    await sign(first)
    await t.throwsAsync(bring(), { message: /TooFewSignatures/ })
    t.regex(await sign(second, second), new RegExp(`signed by +${first?.address} ${second?.address}\n`))
    t.regex(await bring(), /done/)
    t.regex(await bring(), /was done already/)
    t.regex(await deploy(), /nothing left to do/)

    const device = new Device({ meter: 'roof', role: 'producer' })
    const point = toDeviceAddress(device.signer.publicKey)
    const certificate = join(folder, 'roof.cert')
    const other = new Device({ meter: 'house', role: 'consumer' })
    writeFileSync(certificate, `${other.certificate.text}\n${device.certificate.text}\n`)
    const enrol = ['enrol', '--certificate', certificate, '--owner', owner.address, '--first-export', 1000]
    await t.throwsAsync(draft(...enrol), { code: 'certificate/invalid' })
    await draft(...enrol, '--id', device.id)
    await t.throwsAsync(sign(first), { code: 'key/mismatch' })
    await t.throwsAsync(bring(), { code: 'config/invalid', message: /owner .* has not signed/ })
    await sign(owner, first, second)
    const signed = readFileSync(paper, 'utf8')
    writeFileSync(paper, signed.replace('"books": 2', '"books": 3'))
    await t.throwsAsync(bring(), { code: 'key/mismatch' })
    writeFileSync(paper, signed)
    t.is(await bring(), `enrol ${point}: done\n`)

    const at = ['--file', file, '--point', point]
    t.regex(await run('offer', ...at, '--to', next.address, ...by(owner)), /: offered to/)
    t.regex(await run('accept', ...at, ...by(next)), /: is /)
    t.regex(await run('accept', ...at, ...by(next)), /was already/)
    await draft('revoke', '--point', point, '--epoch', 5, '--sequence', 9)
    await sign(second, first)
    await bring()
    await draft('pause')
    await sign(...members)
    await bring()

    const { engine } = openRig(t, { dataDir: join(folder, 'data') })
    engine.ingest([device.certificateMessage()])
    const config = join(folder, 'ledger.yaml')
    writeFileSync(config, 'version: 1\nledger: { dataDir: ./data }\nmqtt: { embedded: { host: 127.0.0.1, port: 0 } }\n')
    const status = await runCommand(['chain', 'status', '--file', file, '--rpc', anvil.url, '--config', config])
    t.is(status.code, 0, status.stderr)
    t.regex(status.stdout, /2 of 3\n/)
    t.regex(status.stdout, /paused +true\n/)
    await draft('unpause')
    await sign(first, second)
    await bring()
    // An upgrade: what is in next.json takes over from what is in chain.json.
    const out = join(folder, 'next.json')
    const succeed = () => run('succeed', ...by(payer), '--file', file, '--out', out)
    t.regex(await succeed(), /^Attestation 0x\w+\nthe council has to name it/)
    t.regex(await succeed(), /there already/)
    await run('draft', 'name-booker', '--file', out, '--out', paper)
    await sign(first, second)
    await bring()
    const takeOver = () => run('take-over', ...by(payer), '--file', out, '--config', config)
    await t.throwsAsync(takeOver(), { code: 'evm/refused', message: /TooEarly/ })
    await anvil.rpc('evm_increaseTime', 7 * 86_400)
    await anvil.mine()
    t.regex(await takeOver(), /books\nadopted: 1\n/)
    t.regex(await takeOver(), /booked already\nadopted: 0\n/)
    t.regex(await run('status', '--file', out, '--rpc', anvil.url, '--config', config), /revoked/)
    t.regex(status.stdout, new RegExp(`gw-1/roof +${point} +revoked +${next.address} +0/0 +- +1\\.000`, 'i'))
  })
})

test('where a contract comes to stand follows from sender and nonce', (t) => {
  // A published example (ethereum.stackexchange.com, question 760).
  const sender = '0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0'
  t.is(addressAfter(sender, 0n), '0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d')
  t.is(addressAfter(sender, 1n), '0x343c43a37d37dff08ae8c4a11544c718abb4fcf8')
  t.is(addressAfter(sender, 2n), '0xf778b86fa74e846c4f0a1fbd1335fe81c00a0c91')
})
