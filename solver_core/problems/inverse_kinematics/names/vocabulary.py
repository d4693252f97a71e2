# SPDX-License-Identifier: Apache-2.0
"""Which part of the body a word names."""

from __future__ import annotations

# Part of the body -> words for it, without side, number and decoration (words.py); the more certain ones first.
CENTRE = {
    "hips": "hips hip pelvis spinebase lowertorso lowerbody センター 下半身 rootmaster root cog",
    "spine": "lowerback waist ab abdomen abdomenlower abdomenupper stomach spine spinenavel navalspine torso trunk 上半身 "
    "upperback chest chestlower spinechest chestspine chestupper upperchest uppertorso upperbody ribcage ribs",
    "neckbase": "spineshoulder shoulder thorax",
    "neck": "neck lowerneck necklower necktwist 首 neckupper upperneck",
    "head": "head 頭 skull",
    "headtop": "headtop headend",
    "nose": "nose",
    "forehead": "forehead",
}
SIDED = {
    "collar": "collar clavicle clav collarbone scapula 肩",
    "shoulder": "shoulder acromial acromion",
    "arm": "upperarm uparm uarm arm shldr humerus armupper bicep 腕",
    "forearm": "forearm lowerarm lowarm larm farm elbow armlower ulna radius ひじ 肘",
    "wrist": "wrist 手首",
    "hand": "hand palm",
    "buttock": "buttock pelvis",
    "thigh": "thigh upleg upperleg femur legupper",
    "hip": "hip",
    "leg": "leg 足",
    "shin": "shin calf lowerleg lowleg knee tibia leglower shank ひざ 膝",
    "ankle": "ankle talus 足首",
    "foot": "foot",
    "toe": "toe toebase toes ball footindex bigtoe smalltoe つま先",
    "eye": "eye",
    "ear": "ear",
    "heel": "heel calcn calcaneus",
}
# Markers on skin (Vicon Plug-in Gait, Helen Hayes, OptiTrack): words that name joints only where the pelvis has markers.
PELVIS_MARKERS = "asi asis psi psis waistfront waistback iasis ipsis"
MARKERS = {
    "arm": "sho shoulder shouldertop acr",
    "forearm": "elb elbow elbowout elbowmed elbowlat",
    "wrist": "wra wrb wrist wristout wristin wristlat wristmed",
    "shin": "kne knee kneeout kneemed kneelat",
    "ankle": "ank ankle ankleout anklemed anklelat",
    "toe": "toe toein toeout",
    "skull": "fhd bhd",
}
FINGERS = {
    "Thumb": "thumb handthumb 親指",
    "Index": "index handindex findex pointer 人指",
    "Mid": "middle mid handmiddle fmiddle 中指",
    "Ring": "ring handring fring 薬指",
    "Pinky": "pinky handpinky fpinky little 小指",
}
PHALANGES = {"proximal": "1", "intermediate": "2", "distal": "3"}


def by_word(table: dict[str, str]) -> dict[str, tuple[str, int]]:
    """Word -> part of the body, and its place among the words for it."""
    return {word: (part, place) for part, words in table.items() for place, word in enumerate(words.split())}
