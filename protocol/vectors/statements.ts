// Golden vectors of questions, statements and acts (SPEC-155 to SPEC-157).
import {
  addressOf,
  formatPublicKey,
  type Signer,
  type StatementFacts,
  signAct,
  signInquiry,
  signStatement,
} from '@wattline/protocol'

const at = 1_795_251_600_000

/** What one wallet asks of a ledger, what that states, and what its operator signs. */
export function makeStatementVectors(wallet: Signer, ledgerKey: Signer): object {
  const account = addressOf(wallet.publicKey)
  const facts = { ledger: addressOf(ledgerKey.publicKey), account, expiresAt: at + 60_000 }
  const inquiries = [
    signInquiry({ ...facts, kind: 'history', from: 0 }, wallet),
    signInquiry({ ...facts, account: 'bea', kind: 'orders', from: 7 }, wallet),
  ]
  const [newest, older] = ['7a'.repeat(32), '05'.repeat(32)]
  const stated: StatementFacts = {
    inquiry: inquiries[0]?.id ?? '',
    account,
    at,
    holdings: { owner: 7500n, held: 900n, grid: -20n, eea: 3n, 'eea-held': 0n },
    orders: 2,
    entries: 9,
    journal: newest,
    from: 0,
    lines: [
      [9, newest],
      [4, older],
    ],
    more: false,
  }
  const money = { 'money:EUR': 1250n, 'money-held:EUR': 99n }
  return {
    key: formatPublicKey(wallet.publicKey),
    ledger: formatPublicKey(ledgerKey.publicKey),
    inquiries: inquiries.map(({ text, id }) => ({ text, id })),
    statement: signStatement(stated, ledgerKey),
    statementOfMoney: signStatement({ ...stated, holdings: { ...stated.holdings, ...money } }, ledgerKey),
    act: signAct({ entry: 9, hash: newest }, ledgerKey),
  }
}
