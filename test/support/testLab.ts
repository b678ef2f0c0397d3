/** The lab that the tests of real hosts share: their files run one after another. */
export const testLabName = process.env.PGHA_TEST_LAB ?? "test";
