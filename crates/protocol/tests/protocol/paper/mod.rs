//! The paper's normative sentences, one test each, where no other test holds one already. docs/paper.md lists them all with their
//! tests. Where we do something else, the test says what holds instead, and names the deviation (docs/deviations.md).

mod section_4_1;
mod section_4_2;
mod section_4_3;
mod section_4_5;
mod section_5_1;
mod section_5_2;
mod section_5_3;
mod section_6_2;
