// Golden vectors of orders and answers (SPEC-151 to SPEC-153).
import {
  addressOf,
  asciiToBytes,
  encodeDerSignature,
  formatPublicKey,
  isCurrency,
  type Signer,
  signTransfer,
  signTransferAnswer,
  type TransferFacts,
  toUpperHex,
} from '@wattline/protocol'

const at = 1_795_251_600_000

/** A body that is signed well, whatever it says: what a parser must still refuse. */
function signBody(body: string, signer: Signer): string {
  const signature = toUpperHex(encodeDerSignature(signer.sign(asciiToBytes(body))))
  return `WATT-TRANSFER|${body}|{"SA":"ECDSA-secp256k1-SHA256","SD":"${signature}"}`
}

/** Money, paid and withdrawn. */
function moneyOf({ to, ...terms }: Pick<TransferFacts, 'ledger' | 'account' | 'expiresAt'> & { to: string }) {
  const facts: TransferFacts[] = ['EUR'].filter(isCurrency).flatMap((asset): TransferFacts[] => [
    { ...terms, nonce: 4, kind: 'pay', asset, to, amount: 1250n },
    { ...terms, nonce: 5, kind: 'withdraw', asset, amount: 99n, payout: 'ref 17 ~ [a]', heldUntil: at + 86_400_000 },
  ])
  return facts
}

/** Orders of one wallet at one ledger, what a verifier must say of altered ones, and the ledger's answers. */
export function makeTransferVectors(wallet: Signer, ledgerKey: Signer): object {
  const ledger = addressOf(ledgerKey.publicKey)
  const account = addressOf(wallet.publicKey)
  const terms = { ledger, account, expiresAt: at + 600_000 }
  const orders: TransferFacts[] = [
    { ...terms, nonce: 1, kind: 'pay', asset: 'WATT', to: 'bea', amount: 1500n },
    { ...terms, nonce: 2, kind: 'pay', asset: 'EEA', to: ledger, amount: 999_999_999_999_999_999n },
    { ...terms, nonce: 3, kind: 'reserve', asset: 'WATT', to: 'bea', amount: 40_000n, heldUntil: at + 86_400_000 },
  ]
  const signed = orders.map((facts) => signTransfer(facts, wallet))
  const [pay, , reserve] = signed
  if (pay === undefined || reserve === undefined) throw new Error('three orders expected')
  const bea = { ...terms, account: 'bea' }
  signed.push(
    signTransfer({ ...bea, nonce: 1, kind: 'post', reservation: reserve.id, amount: 12_345n }, ledgerKey),
    signTransfer({ ...bea, nonce: 2, kind: 'post', reservation: reserve.id }, ledgerKey),
    signTransfer({ ...bea, nonce: 3, kind: 'void', reservation: reserve.id }, ledgerKey),
  )
  const money = moneyOf({ ...terms, to: 'bea' })
  signed.push(...money.map((each) => signTransfer(each, wallet)))
  const body = pay.text.split('|')[1] ?? ''
  const withdrawal = signed.at(-1)?.text.split('|')[1] ?? ''
  const facts = { transfer: pay.id, account, nonce: 1, at }
  return {
    ledger,
    account,
    key: formatPublicKey(wallet.publicKey),
    orders: signed.map(({ text, id }) => ({ text, id })),
    verdicts: [
      { what: 'as signed', text: pay.text, verdict: 'valid' },
      { what: 'the amount changed', text: pay.text.replace('"1500"', '"1501"'), verdict: 'transfer/bad-signature' },
      { what: 'for another ledger', text: pay.text.replace(ledger, account), verdict: 'transfer/bad-signature' },
      { what: 'of a stranger', text: signBody(body.replace(account, ledger), wallet), verdict: 'transfer/forbidden' },
      {
        what: 'a blank between tokens',
        text: signBody(body.replace(':1,', ': 1,'), wallet),
        verdict: 'transfer/invalid',
      },
      { what: 'an unknown key', text: signBody(body.replace('{', '{"x":1,'), wallet), verdict: 'transfer/invalid' },
      { what: 'no amount', text: signBody(body.replace('"1500"', '"0"'), wallet), verdict: 'transfer/invalid' },
      { what: 'no such asset', text: signBody(body.replace('"WATT"', '"EURO"'), wallet), verdict: 'transfer/invalid' },
      {
        what: 'a withdrawal of what is no money',
        text: signBody(withdrawal.replace('"EUR"', '"WATT"'), wallet),
        verdict: 'transfer/invalid',
      },
    ],
    answers: [
      signTransferAnswer({ ...facts, entry: 7 }, ledgerKey),
      signTransferAnswer({ ...facts, refused: 'transfer/insufficient', message: 'nothing there' }, ledgerKey),
    ],
  }
}
