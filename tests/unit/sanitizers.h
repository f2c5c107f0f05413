/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests were built with: gcc tells by macros, clang by __has_feature, and each knows only its own. For the few
 * expectations that a sanitizer changes; what should hold everywhere must not ask.
 */
#pragma once

#if defined __has_feature
#define ZM_TEST_FEATURE(feature) __has_feature (feature)
#else
#define ZM_TEST_FEATURE(feature) 0
#endif

#if defined __SANITIZE_THREAD__ || ZM_TEST_FEATURE(thread_sanitizer)
constexpr bool under_tsan = true;
#else
constexpr bool under_tsan = false;
#endif

#if defined __SANITIZE_ADDRESS__ || ZM_TEST_FEATURE(address_sanitizer)
constexpr bool under_asan = true;
#else
constexpr bool under_asan = false;
#endif
