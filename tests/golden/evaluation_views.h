/* Made by make_evaluation_views.py: PIL's and torchvision's pixels of evaluation_views/. */
/* clang-format off */
static const struct evaluation_view {
    const char *file;
    int h, w, components, orientation;
    int base_h, base_w;
    const char *decoded; /* SHA-256 of convert('RGB') */
    const char *base;    /* of Resize(256) of it */
    const char *view;    /* of CenterCrop(224) of that */
    int samples[9];      /* RGB of the view at (y, x) = (0, 0), (100, 17), (223, 223) */
} evaluation_views[] = {
    {"gray-37x91.jpg", 37, 91, 1, 1, 256, 629,
     "29f0be0d57fc866bf893c40243620e244b031778d6a1a2a6f0b09bc511fd3291",
     "fc472873550c67f472aa3e1b52660923610cbbbc2cecf4ffb7d0860ef8189d3c",
     "14c407bafbe6f9c62638786a84f5baddca25307ab0b4277d75ac5b203dd21b3c",
     {197, 197, 197, 211, 211, 211, 107, 107, 107}},
    {"444-251x333.jpg", 251, 333, 3, 1, 256, 339,
     "edb3936db697cfb10b2fa27c0021f45dddac83b0164505d0207c5147aded591d",
     "6dfdf8819d1c20325c77de418ed4356c7aae109726870cc4bf48f6136dadcc17",
     "74c13cb40e49a4adb457afd1a73fa5c88cb2d3921590b8af965903d4bdcfc3a6",
     {162, 218, 138, 100, 134, 178, 115, 120, 60}},
    {"420-375x501.jpg", 375, 501, 3, 6, 256, 342,
     "957187c622c530cc0bfcacf4b2a16d2aff439d004280cb8dc8f0d057b4e3c594",
     "a78525ff0554dac43b644dffb3c93a713bc79a35bc49242e6efdf2ba0493654e",
     "4444907d5f9f6cc59c8ebe1eec99ec16675f1efdf8d8999c59b120d70ed0b929",
     {146, 64, 33, 133, 125, 151, 184, 197, 128}},
    {"422-419x257.jpg", 419, 257, 3, 1, 417, 256,
     "cdb0c9104f52316d3cd2a909b5fe1571867232c9ac789a8b3c379d181e24eed6",
     "1b418146d3b13cc48b48795898507b57d31f04b1ee14c0c6805725a17f432a99",
     "27c50a74fd1e8c7a029a5231a2b94247d4d5144cb20445607c047b2663e2434d",
     {149, 51, 97, 210, 178, 199, 99, 119, 108}},
    {"progressive-299x447.jpg", 299, 447, 3, 1, 256, 382,
     "043a0739b57d662387ac82effba3526c5452ed0934e8473c8ef268bafb0595af",
     "bc20bcab889dca92c3036a576a225d1eb994d64af30c7bc497c7c23a0e11bb2a",
     "a99f5750ec18d33ae71251c00c5a1bc0d67795ddbafa418acc4c50f10530f416",
     {29, 46, 214, 52, 254, 58, 189, 169, 73}},
    {"cmyk-183x140.jpg", 183, 140, 4, 1, 334, 256,
     "e1efa8f5506a0e449c4c6d92f2871415f923d1c78c67553ce167f8967c7e279a",
     "92bba8f9bfc9da1f79f7f987d25fc37d888664d2370b78cb7fdae532b43f5668",
     "bd000dec66cd4874c7a522c2a41b000fde104e15443d9fd59a9c0d591a61d688",
     {21, 14, 36, 51, 84, 101, 3, 12, 9}},
    {"cmyk-plain-61x79.jpg", 61, 79, 4, 1, 256, 331,
     "279171032eda73d70f413f2bfc5c7e704a70a5023f3bcc7c4fe88fd652d48514",
     "7f95b1485f89ba07a519784a7639591bb06f01499a0462435e810b21bb28ec41",
     "dfff5fa3bc333cd2228f7fb55d7b4c3c26b2abf42667a5bc14bed1c686c92570",
     {17, 9, 20, 1, 27, 71, 82, 74, 22}},
    {"ycck-121x167.jpg", 121, 167, 4, 1, 256, 353,
     "71416ff7b8eaa8b2c70001646e83887c243a37bd46ca4ffea0f5d215ecea1a5d",
     "90aaf4a284e18c8b1154b75c6297b36f904f21ef0e56c10d6cbdeca062f1e381",
     "e31343ff27bb212061fbfa8e2b596dd8d384ddc54a28fd2ec49a28e238a1d5fe",
     {80, 44, 107, 28, 107, 20, 33, 41, 39}},
    {"420-256x1001.jpg", 256, 1001, 3, 1, 256, 1001,
     "b8ac8663089c9721ef9c7af04a31aeb831ec4346951e3c733711f863da19dca9",
     "b8ac8663089c9721ef9c7af04a31aeb831ec4346951e3c733711f863da19dca9",
     "aaf1cc601766e2fbab9178fc781c33affac634b07c3e55dfd7f34d7fcbec8482",
     {215, 101, 137, 125, 128, 133, 47, 107, 108}},
    {"420-225x223.jpg", 225, 223, 3, 1, 258, 256,
     "7a10cdc01b8d5e241f51a297fc6689e6f08ed448b3e972bed2e308148c934a2e",
     "36db258558c05a589858388eec44e34921d91a397eaff7f59b87ec34275cc459",
     "6c979853a9ca8f0b0b2924b0702ea20cd6792610eb50dc30fb67d3c15d59c4e5",
     {210, 225, 182, 89, 53, 98, 156, 137, 167}},
};
